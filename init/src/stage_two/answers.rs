//! Answers to the control socket's requests.

use super::node::Node;
use crate::clock::now;
use crate::control::{FailedPhase, Request, ServiceStatus, Status, parse};
use crate::kmsg;
use crate::service::machine::{Event, State};
use crate::service::spec::{NAMES, Name};
use crate::shutdown::End;
use crate::trial;
use serde_json::json;
use std::path::Path;

impl Node {
    /// Answers every whole request of a connection.
    pub(crate) fn answer(&mut self, index: usize) {
        while let Some(line) = self.control.request(index, now()) {
            let answer = match parse(&line) {
                Ok(request) => self.carry_out(request),
                Err(reason) => json!({ "error": reason }),
            };
            self.control.reply(index, answer.to_string());
        }
    }

    fn carry_out(&mut self, request: Request) -> serde_json::Value {
        match request {
            Request::Status {} => json!(self.status()),
            Request::Reboot { trial: true } if !Path::new(trial::FLAG).exists() => {
                json!({ "error": format!("no flag for a trial here: {} is missing", trial::FLAG) })
            }
            Request::Reboot { trial } => {
                let end = if trial { End::Trial } else { End::Reboot };
                self.leave(end, "asked to on the control socket");
                json!({ "ok": true })
            }
            Request::Poweroff {} => {
                self.leave(End::PowerOff, "asked to on the control socket");
                json!({ "ok": true })
            }
            Request::Restart { service } => match Name::parse(&service) {
                Some(_) if self.shutdown.is_some() => json!({ "error": "the node is going down" }),
                Some(name) => {
                    self.service_event(name, Event::Restart, now());
                    json!({ "ok": true })
                }
                None => {
                    let known = NAMES.map(Name::text).join(", ");
                    json!({ "error": format!("no service is named {service:?}; there are {known}") })
                }
            },
            Request::Log { lines } => json!({ "lines": kmsg::recent(lines.min(500)) }),
        }
    }

    fn status(&self) -> Status {
        let failed = self.boot.failures().iter();
        let services = self.units.iter().map(|unit| ServiceStatus {
            name: unit.name.text().to_owned(),
            state: word(unit.machine.state()).to_owned(),
            pid: unit.pid.map(|pid| pid.as_raw_nonzero().get()),
            starts: unit.machine.starts(),
            last_exit: unit.machine.last_exit().map(|exit| exit.to_string()),
            status: unit.status.clone(),
        });
        Status {
            uptime_ms: now().0,
            ready_ms: self.boot.ready_at().map(|moment| moment.0),
            failed_phases: failed
                .map(|(phase, reason)| FailedPhase {
                    name: phase.name().to_owned(),
                    reason: reason.clone(),
                })
                .collect(),
            watchdog: self.watchdog.is_some(),
            shutting_down: self.shutdown.is_some(),
            services: services.collect(),
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::Starting { .. } => "starting",
        State::Ready { .. } => "ready",
        State::Stopping { .. } => "stopping",
        State::Aborting { .. } => "hung",
        State::BackingOff { .. } => "waiting",
    }
}
