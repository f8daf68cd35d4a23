//! Which encoding an answer has, by the `Accept` header. Pure.

use holm_api::Status;

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`: JSON is that too.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// As what an object is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// As it is.
    Whole,
    /// A table of the version `v1` or `v1beta1`.
    Table(&'static str),
    /// Only its metadata.
    Metadata(&'static str),
}

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// How bytes are written.
    pub encoding: Encoding,
    /// As what an object is shown.
    pub view: View,
}

/// What clients are told that they may accept.
pub const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

/// The media type of protobuf.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Accepted {
    /// JSON of the object as it is.
    pub const JSON: Self = Self { encoding: Encoding::Json, view: View::Whole };

    /// The content type of the answer.
    pub fn content_type(&self) -> &'static str {
        match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => PROTOBUF,
        }
    }

    /// The content type of a watch.
    pub fn watch_content_type(&self) -> &'static str {
        match self.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => self.content_type(),
        }
    }
}

/// Chooses from an `Accept` header: the first that can be had, the highest quality first. Custom
/// resources have no `protobuf`.
///
/// # Errors
/// 406 when none can.
pub fn choose(accept: &str, protobuf: bool) -> Result<Accepted, Status> {
    let mut wanted: Vec<(f32, &str)> = accept
        .split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .map(|it| (quality(it), it))
        .collect();
    if wanted.is_empty() {
        return Ok(Accepted::JSON);
    }
    wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut good = wanted.iter().filter(|(quality, _)| *quality > 0.0);
    let first = good.find_map(|(_, it)| accept_one(it, protobuf));
    first.ok_or_else(|| Status::not_acceptable(&MEDIA_TYPES))
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').skip(1).filter_map(|it| it.trim().split_once('='))
}

fn quality(text: &str) -> f32 {
    parameters(text).find(|(name, _)| *name == "q").map_or(1.0, |(_, it)| it.parse().unwrap_or(0.0))
}

fn accept_one(text: &str, protobuf: bool) -> Option<Accepted> {
    let encoding = match text.split(';').next()?.trim() {
        "*/*" | "application/*" | "application/json" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        PROTOBUF if protobuf => Encoding::Protobuf,
        _ => return None,
    };
    let find = |wanted| parameters(text).find(|(name, _)| *name == wanted).map(|(_, it)| it);
    let version = match find("v") {
        Some("v1beta1") => "v1beta1",
        _ => "v1",
    };
    let view = match find("as") {
        None => View::Whole,
        // Tables and metadata alone are JSON.
        Some(_) if encoding == Encoding::Protobuf => return None,
        Some(_) if find("g") != Some("meta.k8s.io") => return None,
        Some("Table") => View::Table(version),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") => View::Metadata(version),
        Some(_) => return None,
    };
    Some(Accepted { encoding, view })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_can_be_had_is_chosen() {
        let chosen = |accept: &str| choose(accept, true).unwrap();
        assert_eq!(chosen(""), Accepted::JSON);
        assert_eq!(chosen("*/*"), Accepted::JSON);
        assert_eq!(chosen("application/cbor, application/json"), Accepted::JSON);
        assert_eq!(chosen("application/json;q=0.5, application/yaml").encoding, Encoding::Yaml);
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(chosen(kubectl).view, View::Table("v1"));
        assert_eq!(
            chosen("application/vnd.kubernetes.protobuf,application/json").encoding,
            Encoding::Protobuf
        );
        let without = choose("application/vnd.kubernetes.protobuf,application/json", false);
        assert_eq!(without.unwrap().encoding, Encoding::Json);
        let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(chosen(partial).view, View::Metadata("v1"));
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for accept in
            ["application/cbor", "text/html", "application/json;q=0", "application/json;as=X;g=y"]
        {
            assert_eq!(choose(accept, true).unwrap_err().code, 406, "{accept}");
        }
    }
}
