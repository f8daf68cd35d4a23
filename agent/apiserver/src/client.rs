//! The client trait for the controllers of this process: the same verbs, without HTTP between.

use crate::auth::User;
use crate::server::Server;
use crate::verbs::{Deleted, Listed, Patch, Place, Writing};
use crate::watch::{Change, Selected};
use holm_api::client::{Answer, Client, Event, List, Object, PatchKind, Target, Watch};
use holm_api::options::{AtVersion, DeleteOptions, ListOptions, WriteOptions};
use holm_api::{Resource, Status, Value};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A client in this process that acts as a user. Rules are not asked: it is part of the server.
pub struct Local {
    server: Arc<Server>,
    user: User,
}

impl Local {
    /// Acts as `user`.
    #[must_use]
    pub fn new(server: Arc<Server>, user: User) -> Self {
        Self { server, user }
    }

    fn resource(&self, target: &Target) -> Result<Arc<Resource>, Status> {
        let wanted = &target.resource;
        let registry = self.server.registry();
        let found = registry.by_path(&wanted.group, &wanted.version, &wanted.resource);
        found.cloned().ok_or_else(Status::no_such_resource)
    }

    fn writing(&self, options: WriteOptions) -> Writing<'_> {
        Writing::new(&self.user, options, &self.user.name)
    }
}

fn place<'a>(resource: &'a Resource, target: &'a Target) -> Place<'a> {
    Place {
        resource,
        namespace: target.namespace.as_deref().unwrap_or_default(),
        name: target.name.as_deref().unwrap_or_default(),
        subresource: target.subresource.as_deref().unwrap_or_default(),
    }
}

impl Client for Local {
    fn get<'a>(&'a self, target: &'a Target) -> Answer<'a, Object> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let place = place(&resource, target);
            let stored = match place.subresource {
                "scale" => self.server.get_scale(place).await?,
                _ => self.server.get(place).await?,
            };
            stored.value().map(Arc::new)
        })
    }

    fn list<'a>(&'a self, target: &'a Target, options: &'a ListOptions) -> Answer<'a, List> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            self.server.check_not_older(options.at)?;
            let mut listed = Listed::begin(place(&resource, target), options)?;
            let mut list = List::default();
            loop {
                let next = self.server.next_page(&mut listed, options).await;
                let (page, last) = next.map_err(|it| it.status)?;
                let objects = page.entries.iter().filter_map(crate::at_rest::object_of);
                list.items.extend(objects.map(Arc::new));
                list.resource_version = page.revision.to_string();
                list.continue_token = page.continue_token;
                if last {
                    return Ok(list);
                }
            }
        })
    }

    fn watch<'a>(
        &'a self,
        target: &'a Target,
        options: &'a ListOptions,
    ) -> Answer<'a, Box<dyn Watch>> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let place = place(&resource, target);
            let mut initial = VecDeque::new();
            let mut revision = match options.at {
                AtVersion::NotOlderThan(revision) | AtVersion::Exact(revision) => revision,
                _ => self.server.store.revision(),
            };
            if options.send_initial_events == Some(true) {
                let all = ListOptions {
                    labels: options.labels.clone(),
                    fields: options.fields.clone(),
                    ..ListOptions::default()
                };
                let list = self.list(target, &all).await?;
                revision = list.resource_version.parse().unwrap_or(revision);
                initial.extend(list.items.into_iter().map(Event::Added));
                let resource_version = list.resource_version;
                initial.push_back(Event::Bookmark { resource_version, initial_end: true });
            }
            let selected = self.server.watch_after(place, options, revision).await?;
            Ok(Box::new(LocalWatch { initial, selected, over: false }) as Box<dyn Watch>)
        })
    }

    fn create<'a>(
        &'a self,
        target: &'a Target,
        object: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let writing = self.writing(options.clone());
            let stored = self.server.create(place(&resource, target), object, &writing).await?;
            stored.value().map(Arc::new)
        })
    }

    fn update<'a>(
        &'a self,
        target: &'a Target,
        object: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let place = place(&resource, target);
            let writing = self.writing(options.clone());
            let stored = match place.subresource {
                "scale" => {
                    self.server.change_scale(place, &writing, |_| Ok(object.clone())).await?
                }
                _ => self.server.update(place, object, &writing).await?,
            };
            stored.value().map(Arc::new)
        })
    }

    fn patch<'a>(
        &'a self,
        target: &'a Target,
        kind: PatchKind,
        patch: Value,
        options: &'a WriteOptions,
    ) -> Answer<'a, Object> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let writing = self.writing(options.clone());
            let patch = Patch { kind, document: patch };
            let place = place(&resource, target);
            let (stored, _) = self.server.patch(place, &patch, &writing).await?;
            stored.value().map(Arc::new)
        })
    }

    fn delete<'a>(&'a self, target: &'a Target, options: &'a DeleteOptions) -> Answer<'a, Object> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let write = WriteOptions { dry_run: options.dry_run, ..WriteOptions::default() };
            let writing = self.writing(write);
            match self.server.delete(place(&resource, target), options, &writing).await? {
                Deleted::Gone(stored) | Deleted::Marked(stored) => stored.value().map(Arc::new),
            }
        })
    }

    fn delete_collection<'a>(
        &'a self,
        target: &'a Target,
        select: &'a ListOptions,
        options: &'a DeleteOptions,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let resource = self.resource(target)?;
            let writing = self.writing(WriteOptions::default());
            let place = place(&resource, target);
            let result = self.server.delete_collection(place, select, options, &writing).await;
            result.map(drop).map_err(|it| it.status)
        })
    }
}

struct LocalWatch {
    initial: VecDeque<Event>,
    selected: Selected,
    over: bool,
}

impl Watch for LocalWatch {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Result<Event, Status>>> + Send + '_>> {
        Box::pin(async move {
            if let Some(event) = self.initial.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            let selection = match self.selected.next().await {
                Ok(selection) => selection,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            };
            let Some(object) = selection.object() else {
                self.over = true;
                return Some(Err(Status::internal("a change came without its object")));
            };
            Some(Ok(match selection.change {
                Change::Added => Event::Added(object),
                Change::Modified => Event::Modified(object),
                Change::Deleted => Event::Deleted(object),
            }))
        })
    }
}
