//! Suggestions for unknown names: the measure of `instance_types::did_you_mean` in CEL.
//!
//! The words and the pairs of neighboring letters of the asked name are counted in each other name. CEL does not sort. So a name
//! becomes a number: what it has in common, then its shortness, then its place in the alphabet. The largest three are named.

use crate::policy::{Variable, variable};

use super::variables::VARIABLES;

/// Variables about one kind of names.
const OF_ONE: usize = 11;

/// All variables of the policy: those of the table, then the suggestions.
pub(crate) const ALL: &[Variable] = &{
    let mut all = [VARIABLES[0]; VARIABLES.len() + 2 * OF_ONE];
    let mut place = 0;
    while place < all.len() {
        all[place] = match place.checked_sub(VARIABLES.len()) {
            None => VARIABLES[place],
            Some(rest) if rest < OF_ONE => PRESETS[rest],
            Some(rest) => TYPES[rest - OF_ONE],
        };
        place += 1;
    }
    all
};

/// Variables of one kind of names; the last one, `…Near`, has the suggestions. The first expression is the unknown name, or
/// nothing. The second one is all names in the order of the alphabet.
macro_rules! near {
    ($kind:literal, $asked:literal, $names:literal) => {
        [
            variable(concat!($kind, "Unknown"), $asked),
            variable(concat!($kind, "Names"), $names),
            variable(
                concat!($kind, "Asked"),
                concat!(
                    "[variables.", $kind, "Unknown].map(n, n.size() > 64 ? n.substring(0, 64) : n)[0].lowerAscii()\
                     .replace('.', '-').replace('_', '-').replace('/', '-').replace(' ', '-')"
                ),
            ),
            variable(
                concat!($kind, "Words"),
                concat!("variables.", $kind, "Asked.split('-').filter(w, w != '')"),
            ),
            variable(
                concat!($kind, "Letters"),
                concat!("variables.", $kind, "Asked.replace('-', '')"),
            ),
            variable(
                concat!($kind, "Pairs"),
                concat!(
                    "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, \
                     28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, \
                     53, 54, 55, 56, 57, 58, 59, 60, 61, 62].filter(i, i + 2 <= variables.", $kind, "Letters.size())\
                     .map(i, variables.", $kind, "Letters.substring(i, i + 2))"
                ),
            ),
            variable(
                concat!($kind, "Common"),
                concat!(
                    "variables.", $kind, "Names.map(n, '-' + n.lowerAscii().replace('.', '-').replace('_', '-') + '-')\
                     .map(n, variables.", $kind, "Words.filter(w, n.contains('-' + w + '-')).size() \
                     + variables.", $kind, "Pairs.filter(p, n.replace('-', '').contains(p)).size())"
                ),
            ),
            variable(
                concat!($kind, "Ranks"),
                concat!(
                    "variables.", $kind, "Names.map(n, variables.", $kind, "Common[variables.", $kind, "Names.indexOf(n)] \
                     * 100000000 + (9999 - n.size()) * 10000 + 9999 - variables.", $kind, "Names.indexOf(n))\
                     .filter(r, r >= 100000000 && r / 100000000 * 2 >= variables.", $kind, "Words.size() \
                     + variables.", $kind, "Pairs.size())"
                ),
            ),
            variable(
                concat!($kind, "Others"),
                concat!(
                    "variables.", $kind, "Ranks.size() == 0 ? [] \
                     : [variables.", $kind, "Ranks.max()].map(m, variables.", $kind, "Ranks.filter(r, r < m))[0]"
                ),
            ),
            variable(
                concat!($kind, "Thirds"),
                concat!(
                    "variables.", $kind, "Others.size() == 0 ? [] \
                     : [variables.", $kind, "Others.max()].map(m, variables.", $kind, "Others.filter(r, r < m))[0]"
                ),
            ),
            variable(
                concat!($kind, "Near"),
                concat!(
                    "[variables.", $kind, "Ranks, variables.", $kind, "Others, variables.", $kind, "Thirds]\
                     .filter(l, l.size() > 0).map(l, variables.", $kind, "Names[9999 - l.max() % 10000])"
                ),
            ),
        ]
    };
}

// Names that begin otherwise are left out of a large catalog, because the cost of an expression has a bound.
const PRESETS: [Variable; OF_ONE] = near!(
    "preset",
    "variables.isKnown || variables.isOpen ? '' : variables.wanted.split('/')[variables.wanted.split('/').size() - 1]",
    "variables.presetUnknown == '' ? [] : [variables.data['presets'].split(',')].map(l, l.filter(p, l.size() <= 300 \
     || variables.presetUnknown.size() > 1 && p.startsWith(variables.presetUnknown.lowerAscii().substring(0, 2))))[0]"
);

const TYPES: [Variable; OF_ONE] = near!(
    "type",
    "variables.isTypeKnown ? '' : variables.instanceType",
    "variables.typeUnknown == '' ? [] : variables.data['suggested-types'].split(',').filter(t, !variables.instanceType.lowerAscii().startsWith('standard_n') \
     || variables.data['instance-type.' + t.lowerAscii()].split(' ')[1] != '0')"
);
