//! Flags of upgrades.

use clap::ValueEnum;
use jiff::SignedDuration;
use workspace_plan::{AutomaticUpgrades, UpgradeWindow, Upgrades, WindowDays, WindowStart};

/// Time at which running models are upgraded to what this version renders.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Upgrades")]
pub struct UpgradeArgs {
    /// Upgrade models on request only, or one at a time within a window.
    #[arg(long, env = "UPGRADES", value_enum, default_value_t = UpgradeMode::Manual)]
    pub upgrades: UpgradeMode,
    /// Days on which the window opens, such as Sat,Sun.
    #[arg(
        long,
        env = "UPGRADE_WINDOW_DAYS",
        value_name = "DAYS",
        default_value = "Mon,Tue,Wed,Thu,Fri,Sat,Sun"
    )]
    pub upgrade_window_days: WindowDays,
    /// Time in UTC at which the window opens.
    #[arg(
        long,
        env = "UPGRADE_WINDOW_START",
        value_name = "HH:MM",
        default_value = "02:00"
    )]
    pub upgrade_window_start: WindowStart,
    /// Length of the window, at most 24h. An upgrade that began in it is finished after it.
    #[arg(long, env = "UPGRADE_WINDOW_LENGTH", value_name = "DURATION", default_value = "4h", value_parser = window_length)]
    pub upgrade_window_length: SignedDuration,
    /// Time after which a model that does not serve counts as a failed upgrade, such as 90m. No other is upgraded then.
    #[arg(long, env = "UPGRADE_TIMEOUT", value_name = "DURATION", default_value = "90m", value_parser = timeout)]
    pub upgrade_timeout: SignedDuration,
}

/// Mode of upgrades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UpgradeMode {
    /// On request.
    Manual,
    /// On request, and one model at a time within a window.
    Automatic,
}

impl UpgradeArgs {
    /// Returns the planner's settings.
    pub(super) fn upgrades(&self) -> Upgrades {
        let (days, start) = (self.upgrade_window_days.clone(), self.upgrade_window_start);
        match self.upgrades {
            UpgradeMode::Manual => Upgrades::Manual,
            UpgradeMode::Automatic => Upgrades::Automatic(AutomaticUpgrades {
                window: UpgradeWindow::new(days, start, self.upgrade_window_length),
                timeout: self.upgrade_timeout,
            }),
        }
    }
}

fn window_length(text: &str) -> Result<SignedDuration, String> {
    let length = text
        .parse()
        .ok()
        .filter(|length| UpgradeWindow::LENGTHS.contains(length));
    length.ok_or_else(|| "must be a duration from 1m to 24h, such as 4h".to_owned())
}

fn timeout(text: &str) -> Result<SignedDuration, String> {
    let timeout = text.parse().ok().filter(SignedDuration::is_positive);
    timeout.ok_or_else(|| "must be a duration above zero, such as 90m".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Args;

    #[test]
    fn upgrades_are_manual_unless_a_window_is_asked_for() {
        let of = |flags: &[&str]| {
            Args::try_parse_from([&["workspace-controller"], flags].concat())
                .map(|args| {
                    args.settings(
                        render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
                        Default::default(),
                    )
                    .upgrades
                })
                .map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]), Ok(Upgrades::Manual));
        let flags = [
            "--upgrades=automatic",
            "--upgrade-window-days=sat,Sun",
            "--upgrade-window-start=22:30",
            "--upgrade-window-length=3h",
        ];
        let Ok(Upgrades::Automatic(upgrades)) = of(&flags) else {
            panic!("{:?}", of(&flags))
        };
        assert_eq!(upgrades.window.to_string(), "Sat,Sun 22:30 UTC for 180 minutes");
        assert_eq!(upgrades.timeout, SignedDuration::from_mins(90));
        for wrong in [
            "--upgrade-window-days=Saturday",
            "--upgrade-window-start=2:00",
            "--upgrade-window-length=25h",
            "--upgrade-timeout=0s",
            "--upgrades=on",
        ] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
    }
}
