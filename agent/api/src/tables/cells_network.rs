//! Cells of services, nodes, events and what else is about the network and the cluster.

use super::cells::{condition, none, since};
use crate::{Value, time};
use jiff::Timestamp;

pub(super) fn call(function: &str, argument: &str, object: &Value, now: Timestamp) -> Value {
    let text = match function {
        "external_ip" => external_ip(object),
        "service_ports" => service_ports(object),
        "endpoints" => endpoints(object),
        "node_status" => node_status(object),
        "node_roles" => node_roles(object),
        "node_address" => {
            let addresses = object.items_at(&["status", "addresses"]).iter();
            let mut found = addresses.filter(|one| one.str_at(&["type"]) == argument);
            found.next().map_or_else(none, |one| one.str_at(&["address"]).to_owned())
        }
        "event_seen" => return event_seen(object, now),
        "event_first_seen" => return event_first_seen(object, now),
        "event_count" => event_count(object).to_string(),
        "event_object" => {
            let about = ["involvedObject", "regarding"].iter().find_map(|name| object.get(name));
            about.map_or_else(String::new, |about| {
                format!("{}/{}", about.str_at(&["kind"]).to_lowercase(), about.str_at(&["name"]))
            })
        }
        "event_source" => event_source(object),
        "ingress_class" => {
            let annotation = object.at(&["metadata", "annotations"]);
            let old = annotation.map_or("", |all| all.str_at(&["kubernetes.io/ingress.class"]));
            match object.str_at(&["spec", "ingressClassName"]) {
                "" if old.is_empty() => none(),
                "" => old.to_owned(),
                name => name.to_owned(),
            }
        }
        "ingress_hosts" => ingress_hosts(object),
        "ingress_ports" => match object.items_at(&["spec", "tls"]).is_empty() {
            true => "80".to_owned(),
            false => "80, 443".to_owned(),
        },
        "load_balancer" => load_balancer(object),
        "parameters" => match object.at(&["spec", "parameters"]) {
            None => none(),
            Some(to) => {
                reference(to.str_at(&["kind"]), to.str_at(&["apiGroup"]), to.str_at(&["name"]))
            }
        },
        "parent_ref" => {
            let parent = |name: &str| object.str_at(&["spec", "parentRef", name]);
            let resource = match parent("group") {
                "" => parent("resource").to_owned(),
                group => format!("{}.{group}", parent("resource")),
            };
            format!("{resource}/{}/{}", parent("namespace"), parent("name")).replace("//", "/")
        }
        "slice_ports" => slice_ports(object),
        "slice_endpoints" => slice_endpoints(object),
        "csr_condition" => csr_condition(object),
        "requested_duration" => match object.int_at(&["spec", "expirationSeconds"]) {
            None => none(),
            Some(seconds) => time::age(seconds),
        },
        "scale_target" => {
            let target = |name: &str| object.str_at(&["spec", "scaleTargetRef", name]);
            format!("{}/{}", target("kind"), target("name"))
        }
        "scale_metrics" => scale_metrics(object),
        "token_requests" => {
            let audiences: Vec<&str> = object
                .items_at(&["spec", "tokenRequests"])
                .iter()
                .map(|one| one.str_at(&["audience"]))
                .collect();
            if audiences.is_empty() { "<unset>".to_owned() } else { audiences.join(",") }
        }
        "api_service" => match object.at(&["spec", "service"]) {
            None => "Local".to_owned(),
            Some(to) => format!("{}/{}", to.str_at(&["namespace"]), to.str_at(&["name"])),
        },
        _ => String::new(),
    };
    Value::from(text)
}

fn reference(kind: &str, group: &str, name: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{name}")
}

fn load_balancer(object: &Value) -> String {
    let ingress = object.items_at(&["status", "loadBalancer", "ingress"]).iter();
    let addresses: Vec<&str> = ingress
        .map(|one| match one.str_at(&["ip"]) {
            "" => one.str_at(&["hostname"]),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.join(",")
}

fn external_ip(service: &Value) -> String {
    let listed = service.items_at(&["spec", "externalIPs"]).iter().filter_map(Value::as_str);
    let listed = listed.collect::<Vec<_>>().join(",");
    match service.str_at(&["spec", "type"]) {
        "ExternalName" => service.str_at(&["spec", "externalName"]).to_owned(),
        "LoadBalancer" => match (load_balancer(service), listed) {
            (balanced, listed) if balanced.is_empty() && listed.is_empty() => {
                "<pending>".to_owned()
            }
            (balanced, listed) if balanced.is_empty() => listed,
            (balanced, listed) if listed.is_empty() => balanced,
            (balanced, listed) => format!("{balanced},{listed}"),
        },
        _ if listed.is_empty() => none(),
        _ => listed,
    }
}

fn service_ports(service: &Value) -> String {
    let ports: Vec<String> = service
        .items_at(&["spec", "ports"])
        .iter()
        .map(|port| {
            let number = |name: &str| port.int_at(&[name]).unwrap_or_default();
            let protocol = port.str_at(&["protocol"]);
            match number("nodePort") {
                0 => format!("{}/{protocol}", number("port")),
                node => format!("{}:{node}/{protocol}", number("port")),
            }
        })
        .collect();
    if ports.is_empty() { none() } else { ports.join(",") }
}

/// The first three, and how many more.
fn shortened(all: &[String]) -> String {
    match all.len() {
        0 => none(),
        1..=3 => all.join(","),
        count => format!("{} + {} more...", all[..3].join(","), count - 3),
    }
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in object.items_at(&["subsets"]) {
        let addresses = || subset.items_at(&["addresses"]).iter().map(|one| one.str_at(&["ip"]));
        let ports = subset.items_at(&["ports"]);
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports.iter().map(|port| port.int_at(&["port"]).unwrap_or_default()) {
            all.extend(addresses().map(|address| match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            }));
        }
    }
    shortened(&all)
}

fn slice_ports(slice: &Value) -> String {
    let ports = slice.items_at(&["ports"]);
    let all: Vec<String> = ports
        .iter()
        .map(|port| match (port.str_at(&["name"]), port.int_at(&["port"])) {
            (_, Some(number)) => number.to_string(),
            ("", None) => "*".to_owned(),
            (name, None) => name.to_owned(),
        })
        .collect();
    if all.is_empty() { "<unset>".to_owned() } else { shortened(&all) }
}

fn slice_endpoints(slice: &Value) -> String {
    let addresses =
        slice.items_at(&["endpoints"]).iter().flat_map(|one| one.items_at(&["addresses"]));
    let all: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
    if all.is_empty() { "<unset>".to_owned() } else { shortened(&all) }
}

fn node_status(node: &Value) -> String {
    let mut parts = vec![match condition(node, "Ready").map(|one| one.str_at(&["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if node.bool_at(&["spec", "unschedulable"]) {
        parts.push("SchedulingDisabled");
    }
    parts.join(",")
}

fn node_roles(node: &Value) -> String {
    let labels = node.at(&["metadata", "labels"]).and_then(Value::as_object);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flat_map(|labels| labels.iter())
        .filter_map(|(name, value)| match name.as_str() {
            "kubernetes.io/role" => value.as_str(),
            name => name.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { none() } else { roles.join(",") }
}

fn first_text<'a>(object: &'a Value, names: &[&[&str]]) -> &'a str {
    names.iter().map(|path| object.str_at(path)).find(|text| !text.is_empty()).unwrap_or_default()
}

fn event_count(event: &Value) -> i64 {
    ["count", "deprecatedCount"]
        .iter()
        .find_map(|name| event.int_at(&[name]).filter(|count| *count > 0))
        .or(event.int_at(&["series", "count"]))
        .unwrap_or(1)
}

fn event_first_seen(event: &Value, now: Timestamp) -> Value {
    let first =
        first_text(event, &[&["firstTimestamp"], &["deprecatedFirstTimestamp"], &["eventTime"]]);
    since(first, now)
}

fn event_seen(event: &Value, now: Timestamp) -> Value {
    let last = first_text(
        event,
        &[
            &["series", "lastObservedTime"],
            &["lastTimestamp"],
            &["deprecatedLastTimestamp"],
            &["firstTimestamp"],
            &["deprecatedFirstTimestamp"],
            &["eventTime"],
        ],
    );
    since(last, now)
}

fn event_source(event: &Value) -> String {
    let component = first_text(
        event,
        &[
            &["source", "component"],
            &["deprecatedSource", "component"],
            &["reportingComponent"],
            &["reportingController"],
        ],
    );
    match first_text(
        event,
        &[&["source", "host"], &["deprecatedSource", "host"], &["reportingInstance"]],
    ) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

fn ingress_hosts(ingress: &Value) -> String {
    let rules = ingress.items_at(&["spec", "rules"]).iter();
    let hosts: Vec<String> = rules
        .map(|rule| rule.str_at(&["host"]).to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    if hosts.is_empty() { "*".to_owned() } else { shortened(&hosts) }
}

fn csr_condition(csr: &Value) -> String {
    let has = |kind: &str| condition(csr, kind).is_some();
    let mut state = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !csr.str_at(&["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    state
}

/// `cpu: 10%/80%`: where each metric is, and where it should be.
fn scale_metrics(hpa: &Value) -> String {
    // The first version knows only the processor.
    if let Some(target) = hpa.int_at(&["spec", "targetCPUUtilizationPercentage"]) {
        let current = hpa.int_at(&["status", "currentCPUUtilizationPercentage"]);
        let current = current.map_or("<unknown>".to_owned(), |percent| format!("{percent}%"));
        return format!("cpu: {current}/{target}%");
    }
    let current = hpa.items_at(&["status", "currentMetrics"]);
    let all: Vec<String> = hpa
        .items_at(&["spec", "metrics"])
        .iter()
        .enumerate()
        .map(|(index, metric)| {
            let kind = metric.str_at(&["type"]);
            let mut member = kind.to_owned();
            if let Some(first) = member.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            let wanted = &metric[member.as_str()];
            let is = current.get(index).map(|one| &one[member.as_str()]["current"]);
            let amount = |value: &Value| -> Option<String> {
                let percent = value.int_at(&["averageUtilization"]).map(|n| format!("{n}%"));
                let average =
                    || value.at(&["averageValue"]).and_then(Value::as_str).map(str::to_owned);
                let plain = || value.at(&["value"]).and_then(Value::as_str).map(str::to_owned);
                percent.or_else(average).or_else(plain)
            };
            let now = is.and_then(amount).unwrap_or_else(|| "<unknown>".to_owned());
            let target = amount(&wanted["target"]).unwrap_or_else(|| "<auto>".to_owned());
            match wanted.str_at(&["name"]) {
                "" => format!("{now}/{target}"),
                name => format!("{name}: {now}/{target}"),
            }
        })
        .collect();
    match all.len() {
        0 => none(),
        1 | 2 => all.join(", "),
        count => format!("{} + {} more...", all[..2].join(", "), count - 2),
    }
}
