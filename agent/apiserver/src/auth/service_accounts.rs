//! Tokens of service accounts: JSON web tokens with a signature over P-256. Pure but for the key's
//! file: whether the account still exists is asked elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holm_api::{Value, value};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use std::path::Path;

/// Who signs tokens, as they name it, and whom they are for unless they say otherwise.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The key that signs tokens.
pub struct Signer {
    key: EcdsaKeyPair,
    id: String,
}

/// What a token says, once its signature is found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Value);

impl Signer {
    /// Opens the key in a file, or makes one.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let random = SystemRandom::new();
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map_err(|_| invalid())?;
                write(path, made.as_ref())?;
                made.as_ref().to_vec()
            }
            Err(error) => return Err(error),
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random)
            .map_err(|_| invalid())?;
        let digest = ring::digest::digest(&ring::digest::SHA256, key.public_key().as_ref());
        Ok(Self { key, id: BASE64.encode(digest) })
    }

    /// A token that says `claims`. `None` without randomness.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> Option<String> {
        let header = value!({"alg": "ES256", "kid": (self.id.as_str())});
        let part = |it: &Value| BASE64.encode(it.to_json());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
        Some(format!("{text}.{}", BASE64.encode(signature)))
    }

    /// What a token says, if this key signed it.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let read = |part: &str| holm_api::value::decode_value(&BASE64.decode(part).ok()?).ok();
        if read(header)?.str_at(&["alg"]) != "ES256" {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        key.verify(text.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;
        read(claims).map(Claims)
    }

    /// The key as others need it to check tokens.
    #[must_use]
    pub fn json_web_keys(&self) -> Value {
        // One byte that says "not compressed", then both coordinates.
        let point = self.key.public_key().as_ref();
        let part = |from: usize| BASE64.encode(point.get(from..from + 32).unwrap_or_default());
        value!({"keys": [{
            "use": "sig", "kty": "EC", "kid": (self.id.as_str()), "crv": "P-256", "alg": "ES256",
            "x": {part(1)}, "y": {part(33)},
        }]})
    }
}

impl Claims {
    /// Whether the token is for one of `audiences` at `now`, in seconds since 1970.
    #[must_use]
    pub fn hold(&self, audiences: &[&str], now: i64) -> bool {
        let audience = match self.0.get("aud") {
            Some(Value::Array(items)) => {
                items.iter().any(|it| it.as_str().is_some_and(|it| audiences.contains(&it)))
            }
            Some(one) => one.as_str().is_some_and(|it| audiences.contains(&it)),
            None => false,
        };
        let at = |name: &str| self.0.int_at(&[name]);
        self.0.str_at(&["iss"]) == ISSUER
            && audience
            && at("exp").is_some_and(|it| now < it)
            && at("nbf").is_none_or(|it| now + 60 >= it)
    }

    /// Something that it says of the cluster, such as `["serviceaccount", "uid"]`.
    #[must_use]
    pub fn of_cluster(&self, path: &[&str]) -> &str {
        self.0["kubernetes.io"].str_at(path)
    }

    /// The number that each token has for itself.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.str_at(&["jti"])
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let unfinished = path.with_extension("tmp");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> (Signer, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Signer::open(&folder.path().join("key")).unwrap(), folder)
    }

    #[test]
    fn a_token_holds_for_its_audience_until_its_end() {
        let (signer, folder) = signer();
        let claims = value!({
            "iss": ISSUER, "aud": ["a"], "exp": 1000_i64, "nbf": 500_i64,
            "kubernetes.io": {"namespace": "x"},
        });
        let token = signer.sign(&claims).unwrap();
        let again = Signer::open(&folder.path().join("key")).unwrap();
        let read = again.verify(&token).unwrap();
        assert_eq!(read.of_cluster(&["namespace"]), "x");
        for (audience, now, holds) in
            [("a", 600, true), ("b", 600, false), ("a", 1000, false), ("a", 400, false)]
        {
            assert_eq!(read.hold(&[audience], now), holds, "{audience} at {now}");
        }
    }

    #[test]
    fn a_token_of_another_key_or_changed_is_none() {
        let (signer, _folder) = signer();
        let token = signer.sign(&value!({"iss": ISSUER})).unwrap();
        let (other, _other_folder) = self::signer();
        assert_eq!(other.verify(&token), None);
        let parts: Vec<&str> = token.split('.').collect();
        let none = BASE64.encode(r#"{"alg":"none"}"#);
        for forged in [
            format!("{none}.{}.", parts[1]),
            format!("{}.{}.{}", parts[0], BASE64.encode("{}"), parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            String::new(),
            "..".to_owned(),
        ] {
            assert_eq!(signer.verify(&forged), None);
        }
    }
}
