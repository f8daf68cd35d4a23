//! Tests that need root on a real kernel: run as payload of the test machine.

use crate::clock::now;
use crate::device::partition::present;
use crate::device::uevent::Listener;
use crate::device::wait::{News, wait_for};
use crate::gpt::disk::Disk;
use crate::kmsg::{self, Level};
use crate::modules::load::{Error, Loader, folder, read_texts};
use crate::service::launch::{Environment, launch};
use crate::service::notify::Message;
use crate::service::spec::{Name, Spec};
use crate::syscalls::{entropy, loopback};
use crate::{cmdline::Cmdline, control};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
#[ignore = "needs root in a VM"]
fn loopback_link_comes_up() {
    loopback::up().unwrap();
    let flags = fs::read_to_string("/sys/class/net/lo/flags").unwrap();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & 1, 1, "IFF_UP is not set in {flags:x}");
}

#[test]
#[ignore = "needs root in a VM"]
fn every_mount_of_the_node_is_shared() {
    let mounts = fs::read_to_string("/proc/1/mountinfo").unwrap();
    let private: Vec<_> = mounts.lines().filter(|line| !line.contains(" shared:")).collect();
    assert_eq!(private, Vec::<&str>::new());
    for place in ["/", "/proc", "/sys/fs/cgroup", "/run"] {
        assert!(mounts.lines().any(|line| line.split(' ').nth(4) == Some(place)), "{place}");
    }
}

#[test]
#[ignore = "needs root in a VM"]
fn last_message_is_in_the_kernels_log_at_once() {
    let text = format!("message of test {}", std::process::id());
    kmsg::log(Level::Info, &text);
    assert_eq!(kmsg::recent(1), [text]);
}

#[test]
#[ignore = "needs root in a VM"]
fn announcement_of_a_device_wakes_whoever_waits() {
    let listener = Listener::open().unwrap();
    fs::write("/sys/class/net/lo/uevent", "add").unwrap();
    let mut looks = 0;
    let look = || {
        looks += 1;
        (looks == 2).then_some(())
    };
    let deadline = now() + PATIENCE;
    assert_eq!(wait_for(&listener, deadline, look, |_: News| ()), Some(()));
    assert!(now() < deadline);
}

#[test]
#[ignore = "needs root in a VM"]
fn seed_is_taken_by_the_kernel() {
    entropy::credit([0x5a; entropy::SEED_BYTES]).unwrap();
}

#[test]
#[ignore = "needs root in a VM"]
fn unknown_module_is_named_and_a_known_one_is_loaded_with_its_needs() {
    let cmdline = Cmdline::read().unwrap();
    let texts = read_texts(&folder());
    let mut loader = Loader::new(&texts, folder(), &cmdline);
    let failures = loader.load(["holm-no-such-module", "ext4"]);
    assert!(
        matches!(&failures[..], [Error::Unknown(name)] if name == "holm-no-such-module"),
        "{failures:?}"
    );
    assert!(fs::read_to_string("/proc/filesystems").unwrap().contains("ext4"));
}

#[test]
#[ignore = "needs root in a VM"]
fn partitions_of_the_kernel_are_those_of_the_table() {
    let partitions = present();
    let root = partitions.iter().find(|partition| partition.label.starts_with("root-")).unwrap();
    let table = Disk::read(&root.disk).unwrap().partitions();
    let entry = table.iter().find(|entry| entry.label == root.label).unwrap();
    assert_eq!(entry.index as u32 + 1, root.number);
}

#[test]
#[ignore = "needs root in a VM"]
fn service_runs_in_its_cgroup_with_its_score_and_its_session() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let script = "read -r c </proc/self/cgroup; read -r s </proc/self/oom_score_adj; \
        echo \"$c $s $HOLM_TEST\"";
    let arguments: &'static [&'static str] = Box::leak(Box::new(["-c", script]));
    let spec = Spec { program: "/usr/bin/sh", arguments, ..Name::Agent.spec() };
    if !std::path::Path::new(spec.program).exists() {
        // The released root has no shell; the test machine's payload brings one or not.
        return;
    }
    let environment: Environment = vec![("HOLM_TEST", "told".to_owned())];
    let pid = launch(Name::Agent, &spec, Some(&write), &environment, &[]).unwrap();
    drop(write);
    let mut text = String::new();
    fs::File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text.trim(), "0::/holm/agent -999 told");
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
}

#[test]
#[ignore = "needs root in a VM"]
fn control_socket_answers_root() {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(control::SOCKET).unwrap();
    writeln!(stream, "{{\"op\":\"status\"}}").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    let status: control::Status = serde_json::from_str(&line).unwrap();
    assert!(status.services.iter().any(|service| service.name == "agent"));
    writeln!(stream, "{{\"op\":\"fly\"}}").unwrap();
    line.clear();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("fly") && line.contains("error"), "{line}");
}

#[test]
#[ignore = "needs root in a VM"]
fn notification_carries_the_senders_process() {
    let path = "/run/holm-test-notify";
    let socket = crate::service::notify::Socket::open_at(path).unwrap();
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender.send_to(b"READY=1\nSTATUS=here", path).unwrap();
    let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    let (pid, messages) = socket.next().unwrap();
    assert_eq!(pid, rustix::process::getpid());
    assert_eq!(messages, [Message::Ready, Message::Status("here".into())]);
    fs::remove_file(path).unwrap();
}
