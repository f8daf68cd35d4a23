use super::*;
use proptest::prelude::*;

fn of(known: Known) -> State {
    read(&known, &Messages::default())
}

#[test]
fn release_and_slot_are_named() {
    let state = of(Known {
        os_release: "NAME=Holm\nPRETTY_NAME=\"Holm 1.2.3\"\nVARIANT_ID=rpi\n".into(),
        cmdline: "quiet holm.slot=b panic=10\n".into(),
        entries: vec!["holm-a.efi".into(), "holm-b+2-1.efi".into()],
        ..Known::default()
    });
    assert_eq!((state.version.as_str(), state.board.as_str()), ("Holm 1.2.3", "rpi"));
    assert_eq!(state.slot, "slot b, on trial, 2 tries left");
}

#[test]
fn slot_without_a_count_is_good_and_one_without_an_entry_is_only_named() {
    assert_eq!(slot("holm.slot=a", &["holm-a.efi".into()]), "slot a, good");
    assert_eq!(slot("holm.slot=a", &["holm-ab.efi".into()]), "slot a");
    assert_eq!(slot("quiet", &["holm-a.efi".into()]), "");
}

#[test]
fn status_of_pid_1_is_taken_over() {
    let state = of(Known {
        status: r#"{"uptime-ms":61000,"ready-ms":6200,"watchdog":true,"shutting-down":false,
            "failed-phases":[{"name":"time","reason":"no\nclock"}],
            "services":[{"name":"agent","state":"waiting","pid":null,"starts":3,
            "last-exit":"exited with status 1","status":""}]}"#
            .into(),
        uptime: "61.02 100.00\n".into(),
        ..Known::default()
    });
    assert_eq!(state.ready, Some(Duration::from_millis(6200)));
    assert_eq!(state.uptime, Duration::from_secs(61));
    assert_eq!(state.failed_phases, [("time".to_owned(), "no clock".to_owned())]);
    assert_eq!(state.services[0].last_exit.as_deref(), Some("exited with status 1"));
    assert!(state.watchdog && !state.services[0].is_well());
}

#[test]
fn links_are_shown_without_their_link_local_addresses() {
    let state = of(Known {
        network: r#"{"links":[{"name":"eth0","index":2,"mac":null,"mtu":1500,"up":true,
            "carrier":true,"addresses":["192.168.1.10/24","fe80::1/64"],"dhcp4":"bound"}],
            "addresses":[],"gateways":[{"address":"192.168.1.1","link":"eth0","metric":100}],
            "dns":["192.168.1.1"],"search":[],"ntp":[],"hostname":null}"#
            .into(),
        ..Known::default()
    });
    assert_eq!(state.links[0].addresses, ["192.168.1.10/24"]);
    assert_eq!(
        (state.gateways, state.dns),
        (vec!["192.168.1.1".into()], vec!["192.168.1.1".into()])
    );
}

#[test]
fn pod_is_told_by_what_holds_it_up() {
    let state = of(Known {
        pods: r#"{"items":[{"metadata":{"namespace":"default","name":"web"},"spec":{},
            "status":{"phase":"Running","podIP":"10.42.0.2","containerStatuses":[
            {"ready":true,"restartCount":2,"state":{"running":{"startedAt":"x"}}},
            {"ready":false,"restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}]}"#
            .into(),
        ..Known::default()
    });
    let pods = state.pods.unwrap();
    assert_eq!(pods[0].name, "default/web");
    assert_eq!(
        (pods[0].status.as_str(), pods[0].ready, pods[0].restarts),
        ("CrashLoopBackOff", (1, 2), 5)
    );
    assert!(!pods[0].is_well());
}

#[test]
fn numbers_of_the_kernel_are_read() {
    let state = of(Known {
        meminfo: "MemTotal:  120000 kB\nMemFree: 1 kB\nMemAvailable:  70000 kB\n".into(),
        loadavg: "0.10 0.20 0.30 1/99 1234\n".into(),
        temperatures: vec!["41000\n".into(), "52345\n".into(), "x".into()],
        ..Known::default()
    });
    assert_eq!(state.memory, Some(Filling { used: 50_000 << 10, size: 120_000 << 10 }));
    assert_eq!((state.load.as_str(), state.temperature), ("0.10 0.20 0.30", Some(52_345)));
}

#[test]
fn errors_of_kernel_and_agent_come_together_and_are_bounded() {
    let mut messages = Messages::default();
    messages.take(b"3,1,1000,-;mmc0: timeout", 4);
    let log = "2026-11-26T10:00:00Z error: pull failed\n2026-11-26T10:00:01Z info: fine\n";
    let known = Known { agent_log: log.into(), ..Known::default() };
    let errors = read(&known, &messages).errors;
    assert_eq!(
        errors,
        ["[    0.001] mmc0: timeout", "agent 2026-11-26T10:00:00Z error: pull failed"]
    );
    let known = Known { agent_log: log.repeat(100), ..Known::default() };
    assert_eq!(read(&known, &messages).errors.len(), MOST_ERRORS);
}

#[test]
fn node_that_says_nothing_has_a_state_all_the_same() {
    let known = Known { no_status: Some("no socket".into()), ..Known::default() };
    let state = of(known);
    assert_eq!((state.pods, state.unknown), (None, Some("no socket".into())));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}") {
        let known = Known {
            status: text.clone(), os_release: text.clone(), cmdline: text.clone(),
            network: text.clone(), pods: text.clone(), meminfo: text.clone(),
            uptime: text.clone(), entries: vec![text.clone()], hostname: text.clone(),
            temperatures: vec![text.clone()], agent_log: text.clone(), update: text,
            ..Known::default()
        };
        let state = of(known);
        prop_assert!(!state.hostname.chars().any(char::is_control));
    }
}
