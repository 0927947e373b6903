//! What CloudTrail recorded of keys: its files as S3 has them, or what `aws cloudtrail lookup-events` prints.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Misuse;

/// The largest file that is read, unpacked, in bytes: CloudTrail's own are far smaller.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// A call of KMS `Sign` that was served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Signed {
    /// When.
    pub(super) at: Timestamp,
    /// The key's ARN.
    pub(super) key: String,
    /// Who called: the ARN of the session or user.
    pub(super) principal: String,
    /// CloudTrail's id of the event.
    pub(super) event_id: String,
}

/// What files tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// The signatures, each once, by their events' ids.
    pub(super) signed: BTreeMap<String, Signed>,
    /// Calls of `Sign` that were refused.
    pub(super) refused: usize,
    /// The times of the first and the last event of any kind: what was recorded in between is in the files, if they are whole.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// An event of CloudTrail, as far as it matters (CloudTrail user guide, "CloudTrail record contents").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "eventSource")]
    source: String,
    #[serde(rename = "eventName")]
    name: String,
    #[serde(rename = "eventTime")]
    time: Timestamp,
    #[serde(rename = "eventID")]
    id: String,
    #[serde(default)]
    user_identity: Identity,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    resources: Option<Vec<Resource>>,
    #[serde(default)]
    request_parameters: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Identity {
    arn: Option<String>,
    #[serde(rename = "invokedBy")]
    invoked_by: Option<String>,
    #[serde(rename = "principalId")]
    principal_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(rename = "ARN")]
    arn: Option<String>,
}

impl Trail {
    /// Reads files, and folders of them.
    ///
    /// # Errors
    /// [`Misuse`] where one can't be read, or isn't CloudTrail's.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Misuse> {
        let mut trail = Self::default();
        let mut files = Vec::new();
        for path in paths {
            files_of(path, &mut files).map_err(|error| cant(path, &error))?;
        }
        if files.is_empty() {
            return Err(Misuse("there is no file `*.json` or `*.json.gz` in what was given".to_owned()));
        }
        for file in files {
            let bytes = unpacked(&file).map_err(|error| cant(&file, &error))?;
            let wrong = |why: String| Misuse(format!("`{}` is no file of CloudTrail's: {why}", file.display()));
            for event in events(&bytes).map_err(wrong)? {
                trail.take(event);
            }
        }
        Ok(trail)
    }

    fn take(&mut self, event: Event) {
        let at = event.time;
        self.span = Some(self.span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
        if event.source != "kms.amazonaws.com" || event.name != "Sign" {
            return;
        }
        if event.error_code.is_some() {
            self.refused += 1;
            return;
        }
        let named = event.resources.iter().flatten().find_map(|it| it.arn.clone());
        let asked = || Some(event.request_parameters.as_ref()?.get("keyId")?.as_str()?.to_owned());
        let identity = event.user_identity;
        let principal = identity.arn.or(identity.invoked_by).or(identity.principal_id);
        let signed = Signed {
            at,
            key: named.or_else(asked).unwrap_or_default(),
            principal: principal.unwrap_or_else(|| "unknown".to_owned()),
            event_id: event.id,
        };
        self.signed.insert(signed.event_id.clone(), signed);
    }
}

fn cant(path: &Path, error: &io::Error) -> Misuse {
    Misuse(format!("`{}` can't be read: {error}", path.display()))
}

/// A file as it was given, or every file of CloudTrail's in a folder.
fn files_of(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut inside = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inside.sort();
    for path in inside {
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() || name.ends_with(".json") || name.ends_with(".json.gz") {
            files_of(&path, files)?;
        }
    }
    Ok(())
}

fn unpacked(file: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(file)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).take(MAX_BYTES + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than CloudTrail's files are"));
    }
    Ok(unpacked)
}

/// The events of a file: CloudTrail's own, `{"Records": […]}`, or those of `lookup-events`, each of which has the event as text.
fn events(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let list = |name: &str| document.get(name).and_then(Value::as_array);
    let parsed = |event: Value| serde_json::from_value::<Event>(event).map_err(|error| error.to_string());
    if let Some(records) = list("Records") {
        return records.iter().cloned().map(parsed).collect();
    }
    let found = list("Events").ok_or_else(|| "it has neither `Records` nor `Events`".to_owned())?;
    let texts = found.iter().map(|it| it.get("CloudTrailEvent").and_then(Value::as_str));
    texts
        .map(|text| {
            let text = text.ok_or_else(|| "an event of `Events` has no `CloudTrailEvent`".to_owned())?;
            serde_json::from_str(text).map_err(|error| error.to_string())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use serde_json::json;

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn event(id: &str, name: &str, more: &Value) -> Value {
        let mut event = json!({
            "eventVersion": "1.11", "eventSource": "kms.amazonaws.com", "eventName": name, "eventID": id,
            "eventTime": "2026-05-02T03:10:00Z", "readOnly": true, "responseElements": null,
            "userIdentity": {"type": "AssumedRole", "principalId": "AROAEXAMPLE:intake",
                "arn": "arn:aws:sts::111122223333:assumed-role/gatekeeper-intake/intake"},
            "requestParameters": {"messageType": "DIGEST", "keyId": KEY, "signingAlgorithm": "ECDSA_SHA_256"},
            "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    #[test]
    fn files_of_cloudtrail_and_of_lookup_events_tell_the_same_once() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("AWSLogs/2026");
        fs::create_dir_all(&inside).unwrap();
        let records = json!({"Records": [
            event("e1", "Sign", &json!({})),
            event("e2", "Sign", &json!({"errorCode": "AccessDenied"})),
            event("e3", "GetPublicKey", &json!({"eventTime": "2026-05-02T05:00:00Z"})),
            event("e4", "Sign", &json!({"eventSource": "signer.amazonaws.com", "eventTime": "2026-05-02T03:00:00Z"})),
        ]});
        let mut gz = GzEncoder::new(fs::File::create(inside.join("one.json.gz")).unwrap(), Compression::fast());
        gz.write_all(records.to_string().as_bytes()).unwrap();
        gz.finish().unwrap();
        let text = event("e1", "Sign", &json!({})).to_string();
        let looked_up = json!({"Events": [{"EventId": "e1", "CloudTrailEvent": text}]});
        fs::write(folder.path().join("lookup.json"), looked_up.to_string()).unwrap();
        fs::write(folder.path().join("digest.txt"), "no file of CloudTrail's").unwrap();

        let trail = Trail::read(&[folder.path().to_owned()]).unwrap();
        let signed: Vec<_> = trail.signed.values().collect();
        let [one] = signed.as_slice() else { panic!("{signed:?}") };
        assert_eq!((one.key.as_str(), one.event_id.as_str()), (KEY, "e1"));
        assert_eq!(one.principal, "arn:aws:sts::111122223333:assumed-role/gatekeeper-intake/intake");
        assert_eq!(trail.refused, 1);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(trail.span, Some((at("2026-05-02T03:00:00Z"), at("2026-05-02T05:00:00Z"))));
    }

    #[test]
    fn what_is_no_file_of_cloudtrails_is_wrong_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.json");
        assert!(Trail::read(std::slice::from_ref(&file)).unwrap_err().0.contains("can't be read"));
        for text in ["", "{}", "[]", r#"{"Records": [{}]}"#, r#"{"Events": [{}]}"#, "\u{1f}\u{8b}"] {
            fs::write(&file, text).unwrap();
            assert!(Trail::read(std::slice::from_ref(&file)).is_err(), "{text}");
        }
        fs::write(&file, [0x1f, 0x8b, 0]).unwrap();
        assert!(Trail::read(&[file]).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(Trail::read(&[empty.path().to_owned()]).unwrap_err().0.contains("there is no file"));
    }
}
