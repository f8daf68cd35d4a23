//! list: pages of a collection, with selectors, and the tokens that lead from one to the next.

use super::{Place, store_failed};
use crate::at_rest;
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holm_api::options::{AtVersion, ListOptions};
use holm_api::{Map, Status, Value, value};
use holm_store::{Entry, KeyRange, RangeRequest, StoreError};

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// Its objects.
    pub entries: Vec<Entry>,
    /// The revision that the list shows.
    pub revision: u64,
    /// Where it goes on; empty at the end.
    pub continue_token: String,
    /// How many objects come after it; `None` with a selector, which nobody counted.
    pub remaining: Option<usize>,
}

/// A list that is read page by page.
#[derive(Debug)]
pub struct Listed {
    range: KeyRange,
    whole: KeyRange,
    revision: Option<u64>,
    left: Option<usize>,
}

/// Objects that are read from the store at once: bounds what a list takes in memory.
const PAGE: usize = 500;

impl Listed {
    /// Begins a list, or goes on where its token says.
    ///
    /// # Errors
    /// 400 for a token that is none.
    pub fn begin(place: Place<'_>, options: &ListOptions) -> Result<Self, Status> {
        let whole = at_rest::range(place.resource, place.namespace);
        let left = usize::try_from(options.limit).ok().filter(|limit| *limit > 0);
        if options.continue_token.is_empty() {
            let revision = match options.at {
                AtVersion::Exact(revision) => Some(revision),
                _ => None,
            };
            let range = match options.fields.required("metadata.name") {
                // One object: nothing else is read, let alone decoded.
                Some(name) if !place.resource.namespaced || !place.namespace.is_empty() => {
                    KeyRange::key(&at_rest::key(place.resource, place.namespace, name))
                }
                _ => whole.clone(),
            };
            return Ok(Self { range, whole, revision, left });
        }
        let (revision, key) = read_token(&options.continue_token)?;
        let mut last = whole.start().to_vec();
        last.extend_from_slice(key.as_bytes());
        let range = whole.after(&last);
        Ok(Self { range, whole, revision, left })
    }

    /// The prefix of the list's keys.
    fn prefix(&self) -> &[u8] {
        self.whole.start()
    }
}

impl Server {
    /// The next objects of a list: as many as are read at once. The last page has an empty range
    /// behind it, and the token where the client's limit ended it.
    ///
    /// # Errors
    /// 410 when its revision is gone; then with a token that goes on at the newest one.
    pub async fn next_page(
        &self,
        listed: &mut Listed,
        options: &ListOptions,
    ) -> Result<(Page, bool), ListFailure> {
        let selects = !options.labels.is_everything() || !options.fields.is_everything();
        let limit = match listed.left {
            Some(left) if !selects => left.min(PAGE),
            _ => PAGE,
        };
        let request = RangeRequest {
            range: listed.range.clone(),
            revision: listed.revision,
            limit: Some(limit),
        };
        let range = match self.store.range(request).await {
            Ok(range) => range,
            Err(error) => return Err(self.list_failed(&error, listed, options)),
        };
        listed.revision = Some(range.revision);
        let mut page = Page {
            entries: Vec::new(),
            revision: range.revision,
            continue_token: String::new(),
            remaining: None,
        };
        let all = range.entries.len();
        let mut more = range.remaining;
        let mut last = None;
        for (place, entry) in range.entries.into_iter().enumerate() {
            if selects && !selected(&entry, options) {
                last = Some(entry.key);
                continue;
            }
            last = Some(entry.key.clone());
            page.entries.push(entry);
            if let Some(left) = &mut listed.left {
                *left -= 1;
                if *left == 0 {
                    more += all - place - 1;
                    break;
                }
            }
        }
        if let Some(last) = &last {
            listed.range = listed.whole.after(last);
        }
        let limit_reached = listed.left == Some(0);
        if limit_reached
            && more > 0
            && let Some(last) = last
        {
            let key = last.get(listed.prefix().len()..).unwrap_or_default();
            page.continue_token = write_token(Some(page.revision), &String::from_utf8_lossy(key));
            page.remaining = (!selects).then_some(more);
        }
        Ok((page, more == 0 || limit_reached))
    }

    /// What a client is told whose list cannot go on: where it could, at the newest revision.
    fn list_failed(
        &self,
        error: &StoreError,
        listed: &Listed,
        options: &ListOptions,
    ) -> ListFailure {
        let status = store_failed(error);
        if !status.is_expired() || options.continue_token.is_empty() {
            return status.into();
        }
        let start = listed.range.start();
        // The range begins right after the last key: its zero byte is no part of that.
        let key = start.get(listed.prefix().len()..start.len().saturating_sub(1));
        let token = write_token(None, &String::from_utf8_lossy(key.unwrap_or_default()));
        let status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        ListFailure { status, continue_token: token }
    }
}

/// Why a list ends, and how it may go on nevertheless.
#[derive(Debug)]
pub struct ListFailure {
    /// What the client is told.
    pub status: Status,
    /// Where the list goes on at the newest revision; empty where it cannot.
    pub continue_token: String,
}

impl From<Status> for ListFailure {
    fn from(status: Status) -> Self {
        Self { status, continue_token: String::new() }
    }
}

/// Whether a selector takes the object.
pub fn selected(entry: &Entry, options: &ListOptions) -> bool {
    at_rest::object_of(entry).is_some_and(|object| selects(&object, options))
}

/// Whether a selector takes the object.
pub fn selects(object: &Value, options: &ListOptions) -> bool {
    let labels = object.at(&["metadata", "labels"]).and_then(Value::as_object);
    options.labels.matches(labels) && options.fields.matches_object(object)
}

/// A token: the revision (none: the newest) and the last key, without the list's prefix.
fn write_token(revision: Option<u64>, last: &str) -> String {
    let mut token = Map::new();
    token.insert("v", "meta.k8s.io/v1");
    token.insert("rv", revision.map_or(-1, u64::cast_signed));
    token.insert("start", last);
    BASE64.encode(Value::Object(token).to_json())
}

fn read_token(token: &str) -> Result<(Option<u64>, String), Status> {
    let bad = || Status::bad_request("continue key is not valid: it was not given by this server");
    let bytes = BASE64.decode(token).map_err(|_| bad())?;
    let token = value::decode_value(&bytes).map_err(|_| bad())?;
    if token.str_at(&["v"]) != "meta.k8s.io/v1" {
        return Err(bad());
    }
    let revision = token.int_at(&["rv"]).ok_or_else(bad)?;
    let start = token.get("start").and_then(Value::as_str).ok_or_else(bad)?;
    Ok((u64::try_from(revision).ok(), start.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_were_written() {
        let token = write_token(Some(17), "default/web");
        assert_eq!(read_token(&token).unwrap(), (Some(17), "default/web".to_owned()));
        let token = write_token(None, "é");
        assert_eq!(read_token(&token).unwrap(), (None, "é".to_owned()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["x", "e30", "%%%", &BASE64.encode("[1]"), &BASE64.encode(r#"{"v":"v2"}"#)] {
            assert_eq!(read_token(token).unwrap_err().code, 400);
        }
    }
}
