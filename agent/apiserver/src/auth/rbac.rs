//! Role-based access: rules, and who is bound to them. Pure.

use super::{MASTERS, User};
use crate::request::Request;
use holm_api::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
}

impl Rule {
    /// Reads a rule.
    pub fn read(rule: &Value) -> Self {
        let texts = |name: &str| {
            let items = rule.items_at(&[name]).iter();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            paths: texts("nonResourceURLs"),
        }
    }

    /// The rule that allows everything.
    pub fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), groups: all(), resources: all(), names: Vec::new(), paths: all() }
    }

    /// Whether it is about paths rather than resources.
    pub fn is_of_paths(&self) -> bool {
        !self.paths.is_empty()
    }

    /// The rule as a review tells it.
    pub fn to_value(&self) -> Value {
        let mut rule = Value::object();
        for (name, texts) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ] {
            if !texts.is_empty() {
                rule.set(&[name], texts.iter().map(String::as_str).collect::<Value>());
            }
        }
        rule
    }

    /// Whether it allows the request.
    pub fn allows(&self, request: &Request) -> bool {
        if !has(&self.verbs, request.verb) {
            return false;
        }
        if !request.is_resource {
            return self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => *path == request.path,
            });
        }
        has(&self.groups, &request.group)
            && self.has_resource(&request.resource, &request.subresource)
            && (self.names.is_empty()
                || (!request.name.is_empty() && self.names.contains(&request.name)))
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|it| match it.split_once('/') {
            _ if it == "*" => true,
            None => subresource.is_empty() && it == resource,
            Some((name, part)) => part == subresource && (name == "*" || name == resource),
        })
    }

    /// Whether it allows all that `other` does.
    fn covers(&self, other: &Self) -> bool {
        let all = |own: &[String], others: &[String]| others.iter().all(|it| has(own, it));
        let paths = other.paths.iter().all(|path| {
            self.paths.iter().any(|own| match own.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => own == path,
            })
        });
        let resources = other.resources.iter().all(|it| match it.split_once('/') {
            Some((name, part)) => self.has_resource(name, part),
            None => self.resources.iter().any(|own| own == "*" || own == it),
        });
        let names = self.names.is_empty()
            || (!other.names.is_empty() && other.names.iter().all(|it| self.names.contains(it)));
        all(&self.verbs, &other.verbs)
            && all(&self.groups, &other.groups)
            && resources
            && names
            && paths
    }

    /// The rule taken apart so that each part has one verb and one resource or path.
    fn parts(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        for verb in &self.verbs {
            let verbs = vec![verb.clone()];
            for path in &self.paths {
                let paths = vec![path.clone()];
                parts.push(Self { verbs: verbs.clone(), paths, ..Self::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    parts.push(Self {
                        verbs: verbs.clone(),
                        groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        names: self.names.clone(),
                        paths: Vec::new(),
                    });
                }
            }
        }
        parts
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|it| it == "*" || it == wanted)
}

/// Whether `own` allow all that `wanted` do: nobody may give what they do not have.
pub fn cover(own: &[Rule], wanted: &[Rule]) -> bool {
    wanted.iter().flat_map(Rule::parts).all(|part| own.iter().any(|rule| rule.covers(&part)))
}

/// To whom a role is given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

impl Subject {
    fn read(subject: &Value, namespace: &str) -> Option<Self> {
        let name = subject.str_at(&["name"]).to_owned();
        Some(match subject.str_at(&["kind"]) {
            "User" => Self::User(name),
            "Group" => Self::Group(name),
            "ServiceAccount" => {
                let own = subject.str_at(&["namespace"]);
                let namespace = if own.is_empty() { namespace } else { own }.to_owned();
                Self::ServiceAccount { namespace, name }
            }
            _ => return None,
        })
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => *name == user.name,
            Self::Group(name) => user.is_in(name),
            Self::ServiceAccount { namespace, name } => user
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|it| it.split_once(':'))
                .is_some_and(|(ns, account)| ns == namespace && account == name),
        }
    }
}

#[derive(Debug, Clone)]
struct Binding {
    namespace: String,
    subjects: Vec<Subject>,
    /// Namespace (empty: of the cluster) and name of the role.
    role: (String, String),
}

/// Every role and binding that there is.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    roles: HashMap<(String, String), Arc<Vec<Rule>>>,
    bindings: HashMap<(String, String), Binding>,
}

/// The rules of a role.
pub fn rules_of(role: &Value) -> Vec<Rule> {
    role.items_at(&["rules"]).iter().map(Rule::read).collect()
}

impl Rules {
    /// Takes a role or binding in, or out when `object` is `None`. `resource` is its plural name.
    pub fn set(&mut self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        let key = (namespace.to_owned(), name.to_owned());
        match (resource, object) {
            ("roles" | "clusterroles", Some(role)) => {
                self.roles.insert(key, Arc::new(rules_of(role)));
            }
            ("roles" | "clusterroles", None) => drop(self.roles.remove(&key)),
            (_, None) => drop(self.bindings.remove(&key)),
            (_, Some(binding)) => {
                let role = binding.str_at(&["roleRef", "name"]).to_owned();
                let local = binding.str_at(&["roleRef", "kind"]) == "Role";
                let role = (if local { namespace.to_owned() } else { String::new() }, role);
                let subjects = binding.items_at(&["subjects"]).iter();
                let subjects = subjects.filter_map(|it| Subject::read(it, namespace)).collect();
                let namespace = namespace.to_owned();
                self.bindings.insert(key, Binding { namespace, subjects, role });
            }
        }
    }

    /// The rules of a role that exists.
    pub fn role(&self, namespace: &str, name: &str) -> Option<&Arc<Vec<Rule>>> {
        self.roles.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The rules that a user has in a namespace (empty: in the cluster).
    pub fn of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.bindings
            .values()
            .filter(move |it| it.namespace.is_empty() || it.namespace == namespace)
            .filter(|it| it.subjects.iter().any(|subject| subject.is(user)))
            .filter_map(|it| self.roles.get(&it.role))
            .flat_map(|rules| rules.iter())
    }

    /// Whether a user may do what a request asks for.
    pub fn allow(&self, user: &User, request: &Request) -> bool {
        user.is_in(MASTERS) || self.of(user, &request.namespace).any(|rule| rule.allows(request))
    }

    /// Whether a user has all of `wanted` in a namespace, so that they may give it to others.
    pub fn has_all(&self, user: &User, namespace: &str, wanted: &[Rule]) -> bool {
        let own: Vec<Rule> = self.of(user, namespace).cloned().collect();
        user.is_in(MASTERS) || cover(&own, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_api::value;
    use http::Method;

    fn request(method: Method, path: &str) -> Request {
        crate::request::read(&method, path, false).unwrap()
    }

    fn rules() -> Rules {
        let mut rules = Rules::default();
        let view = value!({"rules": [
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["*"]},
            {"nonResourceURLs": ["/healthz", "/logs/*"], "verbs": ["get"]},
        ]});
        rules.set("clusterroles", "", "view", Some(&view));
        let scale = value!({"rules": [{"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["update"]}]});
        rules.set("roles", "a", "scale", Some(&scale));
        rules.set(
            "clusterrolebindings",
            "",
            "all",
            Some(&value!({
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "Group", "name": "devs"}],
            })),
        );
        rules.set(
            "rolebindings",
            "a",
            "view",
            Some(&value!({
                "roleRef": {"kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "bot"}],
            })),
        );
        rules.set(
            "rolebindings",
            "a",
            "scale",
            Some(&value!({
                "roleRef": {"kind": "Role", "name": "scale"},
                "subjects": [{"kind": "User", "name": "ann"}],
            })),
        );
        rules
    }

    #[test]
    fn rules_allow_what_they_name_and_nothing_else() {
        let (rules, dev) = (rules(), User::new("dev", &["devs"]));
        for (method, path, allowed) in [
            (Method::GET, "/api/v1/namespaces/a/pods/x", true),
            (Method::GET, "/api/v1/pods", true),
            (Method::GET, "/api/v1/namespaces/a/pods/x/log", true),
            (Method::GET, "/api/v1/namespaces/a/pods/x/exec", false),
            (Method::DELETE, "/api/v1/namespaces/a/pods/x", false),
            (Method::GET, "/apis/apps/v1/namespaces/a/pods/x", false),
            (Method::PUT, "/api/v1/namespaces/a/configmaps/one", true),
            (Method::PUT, "/api/v1/namespaces/a/configmaps/two", false),
            (Method::GET, "/api/v1/namespaces/a/configmaps", false),
            (Method::GET, "/healthz", true),
            (Method::GET, "/healthz/x", false),
            (Method::GET, "/logs/x", true),
            (Method::POST, "/logs/x", false),
        ] {
            assert_eq!(rules.allow(&dev, &request(method, path)), allowed, "{path}");
        }
    }

    #[test]
    fn bindings_of_a_namespace_end_at_it() {
        let rules = rules();
        let bot = User::new("system:serviceaccount:a:bot", &[]);
        assert!(rules.allow(&bot, &request(Method::GET, "/api/v1/namespaces/a/pods/x")));
        assert!(!rules.allow(&bot, &request(Method::GET, "/api/v1/namespaces/b/pods/x")));
        assert!(!rules.allow(&bot, &request(Method::GET, "/api/v1/pods")));
        let other = User::new("system:serviceaccount:b:bot", &[]);
        assert!(!rules.allow(&other, &request(Method::GET, "/api/v1/namespaces/a/pods/x")));
        let ann = User::new("ann", &[]);
        let scale = "/apis/apps/v1/namespaces/a/deployments/x/scale";
        assert!(rules.allow(&ann, &request(Method::PUT, scale)));
        assert!(
            !rules.allow(&ann, &request(Method::PUT, "/apis/apps/v1/namespaces/a/deployments/x"))
        );
    }

    #[test]
    fn what_is_taken_out_is_no_longer_allowed() {
        let mut rules = rules();
        let dev = User::new("dev", &["devs"]);
        rules.set("clusterrolebindings", "", "all", None);
        assert!(!rules.allow(&dev, &request(Method::GET, "/api/v1/pods")));
        assert!(rules.allow(&User::new("root", &[MASTERS]), &request(Method::GET, "/api/v1/pods")));
    }

    #[test]
    fn nobody_gives_what_they_do_not_have() {
        let (rules, dev) = (rules(), User::new("dev", &["devs"]));
        let read = |rule: Value| [Rule::read(&rule)];
        let pods =
            |verb: &str| read(value!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}));
        assert!(rules.has_all(&dev, "a", &pods("get")));
        assert!(!rules.has_all(&dev, "a", &pods("delete")));
        assert!(!rules.has_all(&dev, "a", &pods("*")));
        let named = read(
            value!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]}),
        );
        let all = read(value!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}));
        assert!(rules.has_all(&dev, "a", &named));
        assert!(!rules.has_all(&dev, "a", &all));
        assert!(rules.has_all(&User::new("root", &[MASTERS]), "a", &all));
        assert!(rules.has_all(
            &dev,
            "a",
            &read(value!({"nonResourceURLs": ["/logs/x"], "verbs": ["get"]}))
        ));
    }
}
