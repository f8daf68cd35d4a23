//! How each phase of the boot is carried out.

use super::node::{Node, Purpose, StandIn};
use super::unit::Unit;
use crate::boot::{Event as BootEvent, How, Phase};
use crate::clock::{Moment, now};
use crate::cmdline::Cmdline;
use crate::configuration::settings::Settings;
use crate::control::Control;
use crate::health::Health;
use crate::service::machine::Event;
use crate::service::notify::Socket;
use crate::service::spec::Name;
use crate::task::Outcome;
use crate::watchdog::Watchdog;
use crate::{cgroups, install, kmsg, mounts};
use std::time::Duration;

/// For how long the agent may be unwell before the node reboots, in seconds, if
/// the kernel argument `holm.emergency-reboot` says nothing else; never less than the
/// minute in which a good agent has proven itself.
const DEFAULT_PATIENCE: u64 = 300;
const CRASHES_LIMIT: Duration = Duration::from_secs(60);

impl Node {
    /// Starts `phase`; one that is done here ends at once.
    pub(crate) fn start_phase(&mut self, phase: Phase) {
        match phase.how() {
            How::Here => {
                let result = match phase {
                    Phase::Mounts => self.mount(),
                    Phase::Cgroups => {
                        cgroups::set_up().map_err(|error| format!("cgroup v2: {error}"))
                    }
                    _ => {
                        mounts::hurry_grace_periods(false);
                        // The devices that the boot did not need.
                        self.devices_lost = true;
                        self.next_release = now();
                        Ok(())
                    }
                };
                self.boot_event(BootEvent::Ended(phase, result), now());
            }
            How::Task => {
                self.start_task(phase.name(), [], Purpose::Phase(phase), phase.limit());
            }
            How::Service => {
                if let Some(name) = Name::parse(phase.name()) {
                    self.service_event(name, Event::Start, now());
                }
            }
        }
    }

    /// The kernel's file systems, and what PID 1 itself has in `/run`.
    fn mount(&mut self) -> Result<(), String> {
        let mounted = mounts::late();
        self.cmdline = Cmdline::read().unwrap_or_default();
        let patience = self.cmdline.number("holm.emergency-reboot", DEFAULT_PATIENCE).max(60);
        self.health = Health::new(now(), Duration::from_secs(patience));
        kmsg::lift_rate_limit();
        self.fill_place_of_agent();
        let made = std::fs::create_dir_all("/run/holm");
        self.notify = Socket::open().map_err(|error| Self::note(&format!("notify: {error}"))).ok();
        self.control = Control::open().unwrap_or_else(|error| {
            Self::note(&format!("control socket: {error}"));
            Control::default()
        });
        mounted.map_err(|(target, errno)| format!("cannot mount {target}: {errno}"))?;
        made.map_err(|error| format!("cannot make /run/holm: {error}"))
    }

    /// An image that installs itself, and the test machine's payload, need no agent.
    fn fill_place_of_agent(&mut self) {
        let stand_in = match &self.cmdline {
            #[cfg(feature = "payload")]
            cmdline if cmdline.value(crate::payload::ARGUMENT).is_some() => {
                (StandIn::Payload, crate::payload::in_place_of(Name::Agent.spec()))
            }
            cmdline if cmdline.has(install::ARGUMENT) => {
                (StandIn::Installer, install::in_place_of(Name::Agent.spec()))
            }
            _ => return,
        };
        let (stand_in, spec) = stand_in;
        if let Some(agent) = self.unit_mut(Name::Agent) {
            // The payload writes its report itself; what the installer says last goes to the log.
            *agent = Unit::new(Name::Agent, spec, stand_in == StandIn::Installer);
            self.stand_in = Some(stand_in);
        }
    }

    /// Takes in how the child of a phase ended.
    pub(crate) fn phase_task_ended(&mut self, phase: Phase, outcome: Outcome) {
        let mut result = if outcome.succeeded { Ok(()) } else { Err(outcome.text.clone()) };
        match phase {
            Phase::Modules => {
                self.may_hotplug = true;
                self.look_for_devices();
            }
            Phase::Configuration => {
                result = result.and_then(|()| Settings::decode(&outcome.text)).and_then(|told| {
                    self.settings = told;
                    self.settings.complaint.take().map_or(Ok(()), Err)
                });
                self.apply_settings();
            }
            _ => {}
        }
        self.boot_event(BootEvent::Ended(phase, result), now());
    }

    /// Opens what PID 1 itself uses of the devices that are there by now.
    pub(crate) fn look_for_devices(&mut self) {
        self.buttons.look();
        if self.watchdog.is_none() {
            self.watchdog = Watchdog::open(&self.cmdline);
            if self.boot.has_started(Phase::Agent) {
                self.set_watchdog();
            }
        }
    }

    /// Sets the watchdog as the node document says.
    fn set_watchdog(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.set_timeout(Duration::from_secs(self.settings.watchdog_seconds));
            self.next_pet = now();
        }
    }

    /// Puts in force what the node document says about PID 1 itself, or the
    /// defaults when there was no saying.
    fn apply_settings(&mut self) {
        self.environment = vec![
            ("HOLM_CONFIG", "/run/holm/holm.toml".to_owned()),
            ("HOLM_CONFIG_DIR", self.settings.folder.clone()),
        ];
        // Which disk an installer must not write; services get nothing else of PID 1's own.
        let disk = std::env::var("HOLM_DISK").ok().filter(|_| self.stand_in.is_some());
        self.environment.extend(disk.map(|disk| ("HOLM_DISK", disk)));
        self.set_watchdog();
        self.lasts =
            self.settings.early_seconds.map(|early| Moment(0) + Duration::from_secs(early));
        // The disks are there, or what stands in for them.
        self.service_event(Name::Log, Event::Start, now());
        if self.settings.wifi {
            self.service_event(Name::Wifi, Event::Start, now());
        }
        self.start_task("crashes", [], Purpose::Crashes, CRASHES_LIMIT);
        if self.stand_in.is_none() {
            self.service_event(Name::Update, Event::Start, now());
        }
    }
}
