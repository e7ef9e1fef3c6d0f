//! Names of files.

use std::time::Duration;

use super::*;
use crate::client::Settings;
use crate::policy::WebPolicy;

#[tokio::test]
async fn names_stay_in_the_directory() {
    let settings = Settings {
        user_agent: "test",
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        redirects: 1,
        proxy: crate::client::ProxySettings::default(),
        ca_file: None,
    };
    let policy = WebPolicy {
        allow_private: true,
        ..WebPolicy::default()
    };
    let client = Client::new(Arc::new(policy), settings).unwrap();
    let settings = DownloadSettings {
        directory: "/nowhere".into(),
        retry: Retry {
            attempts: 1,
            first_pause: Duration::ZERO,
            report: |_| (),
        },
        part_bytes: 1,
        connections: 1,
        max_bytes: 1,
    };
    let downloader = Downloader::new(client, None, settings);
    for name in ["", "../x", "a/b", ".x", "a\\b", ".."] {
        let file = RemoteFile {
            url: Url::parse("https://127.0.0.1:1").unwrap(),
            name: name.to_owned(),
            sha256: None,
        };
        let refused = downloader.file(&file).await;
        assert!(matches!(refused, Err(Error::FileName { .. })), "{name}");
    }
}
