//! How each phase of the boot is carried out.

use super::node::{Node, Purpose};
use crate::boot::{Event as BootEvent, How, Phase};
use crate::clock::now;
use crate::cmdline::Cmdline;
use crate::control::Control;
use crate::service::machine::Event;
use crate::service::notify::Socket;
use crate::service::spec::Name;
use crate::task::Outcome;
use crate::watchdog::Watchdog;
use crate::{cgroups, kmsg, mounts};

impl Node {
    /// Starts `phase`; one that is done here ends at once.
    pub(crate) fn start_phase(&mut self, phase: Phase) {
        match phase.how() {
            How::Here => {
                let result = match phase {
                    Phase::Mounts => self.mount(),
                    _ => cgroups::set_up().map_err(|error| format!("cgroup v2: {error}")),
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
        kmsg::lift_rate_limit();
        let made = std::fs::create_dir_all("/run/holm");
        self.notify = Socket::open().map_err(|error| Self::note(&format!("notify: {error}"))).ok();
        self.control = Control::open().unwrap_or_else(|error| {
            Self::note(&format!("control socket: {error}"));
            Control::default()
        });
        mounted.map_err(|(target, errno)| format!("cannot mount {target}: {errno}"))?;
        made.map_err(|error| format!("cannot make /run/holm: {error}"))
    }

    /// Takes in how the child of a phase ended.
    pub(crate) fn phase_task_ended(&mut self, phase: Phase, outcome: Outcome) {
        match phase {
            Phase::Modules => {
                self.may_hotplug = true;
                if self.watchdog.is_none() {
                    self.watchdog = Watchdog::open(&self.cmdline);
                }
            }
            // From now on there is a disk to write to, or what stands in for it.
            Phase::Storage => self.service_event(Name::Log, Event::Start, now()),
            _ => {}
        }
        let result = if outcome.succeeded { Ok(()) } else { Err(outcome.text) };
        self.boot_event(BootEvent::Ended(phase, result), now());
    }
}
