//! Commands in a piece of shell, as far as documentation writes it: quotes, comments, pipes, substitutions, here-documents.

/// Splits text into commands, each a list of words. A substitution is a word `x`, and its own commands follow.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut reader = Reader {
        rest: text.chars().collect::<Vec<_>>().into_iter().peekable(),
        done: Vec::new(),
        command: Vec::new(),
        word: None,
        redirected: false,
    };
    reader.read();
    reader.done
}

struct Reader {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    done: Vec<Vec<String>>,
    command: Vec<String>,
    word: Option<String>,
    /// The next word is a file of a redirection.
    redirected: bool,
}

impl Reader {
    fn read(&mut self) {
        while let Some(c) = self.rest.next() {
            match c {
                '\'' => self.quoted(),
                '"' => self.double_quoted(),
                '\\' => self.escaped(),
                '$' if self.rest.peek() == Some(&'(') => self.substitution(),
                '#' if self.word.is_none() => self.skip_line(),
                '<' if self.rest.peek() == Some(&'<') => self.here_document(),
                '<' | '>' => {
                    self.end_word();
                    self.redirected = true;
                }
                '|' | ';' | '&' | '\n' | '(' | ')' => self.end_command(),
                c if c.is_whitespace() => self.end_word(),
                c => self.push(c),
            }
        }
        self.end_command();
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn quoted(&mut self) {
        self.word.get_or_insert_default();
        for c in self.rest.by_ref().take_while(|c| *c != '\'').collect::<Vec<_>>() {
            self.push(c);
        }
    }

    fn double_quoted(&mut self) {
        self.word.get_or_insert_default();
        while let Some(c) = self.rest.next().filter(|c| *c != '"') {
            match c {
                '$' if self.rest.peek() == Some(&'(') => self.substitution(),
                '\\' => self.escaped(),
                c => self.push(c),
            }
        }
    }

    fn escaped(&mut self) {
        if let Some(c) = self.rest.next().filter(|c| *c != '\n') {
            self.push(c);
        }
    }

    fn substitution(&mut self) {
        let (mut depth, mut inner) = (0, String::new());
        for c in self.rest.by_ref() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            inner.push(c);
            if depth == 0 {
                break;
            }
        }
        let inner = inner.trim_start_matches('(').trim_end_matches(')').to_owned();
        self.done.extend(commands(&inner));
        self.push('x');
    }

    fn skip_line(&mut self) {
        while self.rest.next_if(|c| *c != '\n').is_some() {}
    }

    fn here_document(&mut self) {
        self.rest.next();
        let mark: String = self.rest.by_ref().take_while(|c| *c != '\n').collect();
        self.end_command();
        let mark = mark.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        loop {
            let line: String = self.rest.by_ref().take_while(|c| *c != '\n').collect();
            if line.trim() == mark || self.rest.peek().is_none() {
                return;
            }
        }
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take()
            && !std::mem::take(&mut self.redirected)
        {
            self.command.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        let command = std::mem::take(&mut self.command);
        let is_setting = |word: &String| {
            let name = word.split_once('=').map_or("", |(name, _)| name);
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let command: Vec<String> = command.into_iter().skip_while(is_setting).collect();
        if !command.is_empty() {
            self.done.push(command);
        }
    }
}

#[test]
fn commands_are_split_as_a_shell_does() {
    let text = "A=1 kubectl get \"a b\" 'c d' \\\n  e   # a comment\ncurl $(kubectl kaito endpoint x)/v1 | tr -d - > file &\n\
                kubectl apply -f - <<EOF\nkind: A\nEOF\nX=$(date)\n";
    let expected: Vec<Vec<&str>> = vec![
        vec!["kubectl", "get", "a b", "c d", "e"],
        vec!["kubectl", "kaito", "endpoint", "x"],
        vec!["curl", "x/v1"],
        vec!["tr", "-d", "-"],
        vec!["kubectl", "apply", "-f", "-"],
        vec!["date"],
    ];
    assert_eq!(commands(text), expected);
}
