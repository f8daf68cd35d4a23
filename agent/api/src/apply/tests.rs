use super::*;
use crate::sample::{self, Random};
use crate::schema::Schema;
use crate::{Gvk, value};

fn deployment() -> Schema {
    Schema::built_in(&Gvk::of("apps/v1", "Deployment")).unwrap()
}

struct Server {
    schema: Schema,
    object: Option<Value>,
}

impl Server {
    fn new() -> Self {
        Self { schema: deployment(), object: None }
    }

    fn write<R>(&self, manager: &str, force: bool, act: impl FnOnce(&Write<'_>) -> R) -> R {
        act(&Write {
            node: self.schema.node(),
            api_version: "apps/v1",
            manager,
            subresource: "",
            now: "2026-01-02T03:04:05Z",
            force,
            ignored: &Fields::default(),
        })
    }

    fn apply(&mut self, manager: &str, force: bool, config: &Value) -> Result<(), Status> {
        let result =
            self.write(manager, force, |write| apply(write, self.object.as_ref(), config))?;
        self.object = Some(result);
        Ok(())
    }

    fn update(&mut self, manager: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.object.clone().unwrap_or_default();
        change(&mut object);
        self.write(manager, false, |write| update(write, self.object.as_ref(), &mut object));
        self.object = Some(object);
    }

    fn object(&self) -> &Value {
        self.object.as_ref().unwrap()
    }

    fn owned_by(&self, manager: &str) -> Value {
        let entries = self.object().items_at(&["metadata", "managedFields"]);
        let entry = entries.iter().find(|entry| entry.str_at(&["manager"]) == manager);
        entry.map(|entry| entry["fieldsV1"].clone()).unwrap_or_default()
    }
}

fn config(replicas: i64, image: &str) -> Value {
    value!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas,
            "template": {"spec": {"containers": [
                {"name": "c", "image": image, "ports": [{"containerPort": 80i64}]},
            ]}},
        },
    })
}

#[test]
fn first_apply_owns_what_it_says() {
    let mut server = Server::new();
    server.apply("me", false, &config(3, "a")).unwrap();
    assert_eq!(
        server.owned_by("me"),
        value!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"c\"}": {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:ports": {
                            "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                                ".": {},
                                "f:containerPort": {},
                            },
                        },
                    },
                }}},
            },
        })
    );
}

#[test]
fn what_is_not_applied_any_more_goes() {
    let mut server = Server::new();
    server.apply("me", false, &config(3, "a")).unwrap();
    let mut less = config(3, "a");
    less.remove(&["spec", "replicas"]);
    less.set(&["spec", "template", "spec", "containers"], value!([{"name": "d"}]));
    server.apply("me", false, &less).unwrap();
    assert_eq!(server.object().int_at(&["spec", "replicas"]), None);
    assert_eq!(server.object()["spec"]["template"]["spec"]["containers"], value!([{"name": "d"}]));
}

#[test]
fn field_of_two_owners_stays_until_both_let_go() {
    let mut server = Server::new();
    server.apply("one", false, &config(3, "a")).unwrap();
    server.apply("two", false, &config(3, "a")).unwrap();
    let mut less = config(3, "a");
    less.remove(&["spec", "replicas"]);
    server.apply("one", false, &less).unwrap();
    assert_eq!(server.object().int_at(&["spec", "replicas"]), Some(3));
    server.apply("two", false, &less).unwrap();
    assert_eq!(server.object().int_at(&["spec", "replicas"]), None);
}

#[test]
fn conflict_names_manager_and_field_and_force_takes_over() {
    let mut server = Server::new();
    server.apply("one", false, &config(3, "a")).unwrap();
    let status = server.apply("two", false, &config(4, "a")).unwrap_err();
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas"
    );
    assert_eq!(status.details.unwrap().causes[0].field, ".spec.replicas");
    server.apply("two", true, &config(4, "a")).unwrap();
    assert_eq!(server.object().int_at(&["spec", "replicas"]), Some(4));
    assert_eq!(server.owned_by("one")["f:spec"]["f:replicas"], Value::Null);
    let many = server.apply("one", false, &config(5, "b")).unwrap_err();
    assert!(
        many.message.starts_with("Apply failed with 2 conflicts: conflicts with \"two\":\n- .spec")
    );
}

#[test]
fn update_takes_ownership_of_what_it_changes() {
    let mut server = Server::new();
    server.apply("me", false, &config(3, "a")).unwrap();
    server.update("scaler", |object| object.set(&["spec", "replicas"], 5i64));
    assert_eq!(server.owned_by("scaler"), value!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(server.owned_by("me")["f:spec"]["f:replicas"], Value::Null);
    let status = server.apply("me", false, &config(3, "a")).unwrap_err();
    assert!(status.message.contains("\"scaler\" using apps/v1 at 2026-01-02T03:04:05Z"));
    server.update("scaler", |object| {
        object.remove(&["spec", "replicas"]);
    });
    assert_eq!(server.owned_by("scaler"), Value::Null);
}

#[test]
fn update_without_change_leaves_owners_as_they_are() {
    let mut server = Server::new();
    server.apply("me", false, &config(3, "a")).unwrap();
    let before = server.object().clone();
    server.update("other", |_| {});
    assert_eq!(*server.object(), before);
}

#[test]
fn many_updaters_become_one() {
    let mut server = Server::new();
    server.apply("me", false, &config(3, "a")).unwrap();
    for number in 0..15 {
        let label = format!("l{number}");
        server.update(&format!("u{number}"), |object| {
            object.set(&["metadata", "labels", &label], "x");
        });
    }
    let entries = server.object().items_at(&["metadata", "managedFields"]);
    assert_eq!(entries.len(), 11);
    assert_ne!(server.owned_by("ancient-changes"), Value::Null);
}

#[test]
fn apply_refuses_managed_fields_and_double_keys() {
    let mut server = Server::new();
    let mut odd = config(1, "a");
    odd.set(&["metadata", "managedFields"], value!([{}]));
    assert_eq!(
        server.apply("me", false, &odd).unwrap_err().message,
        "metadata.managedFields must be nil"
    );
    let mut twice = config(1, "a");
    twice.set(&["spec", "template", "spec", "containers"], value!([{"name": "c"}, {"name": "c"}]));
    let status = server.apply("me", false, &twice).unwrap_err();
    assert!(status.message.contains("duplicate entries for key [name=\"c\"]"), "{status}");
}

#[test]
fn apply_is_idempotent_for_every_kind() {
    for gvk in sample::kinds() {
        let schema = Schema::built_in(&gvk).unwrap();
        for seed in 1..6 {
            let mut config = sample::object(schema.node(), &gvk, &mut Random::new(seed));
            config.remove(&["metadata", "managedFields"]);
            let mut server = Server { schema: schema.clone(), object: None };
            server.apply("me", false, &config).unwrap_or_else(|error| panic!("{gvk}: {error}"));
            let once = server.object().clone();
            server.apply("me", false, &config).unwrap();
            assert_eq!(*server.object(), once, "{gvk}, seed {seed}");
            let mut without = once.clone();
            without.remove(&["metadata", "managedFields"]);
            assert_eq!(without, config, "{gvk}, seed {seed}");
            let fields = Fields::of_value(schema.node(), &config);
            assert_eq!(Fields::read(&fields.write()), fields, "{gvk}, seed {seed}");
        }
    }
}
