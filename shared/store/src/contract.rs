//! What every store must do, run against each of them.

use gatekeeper_model::ids::Sha256;

use super::{Listed, Precondition, TagStore, Tags, WriteStore, Written};

/// Panics where `store` does anything else than S3 does. Writes only under `prefix`, which must be empty.
///
/// # Panics
/// Where the contract is broken: it is a test.
#[expect(clippy::unwrap_used, clippy::panic, reason = "it is a test, shared by two packages")]
pub async fn keeps_the_contract(store: &(impl TagStore + WriteStore), prefix: &str) {
    let key = format!("{prefix}modules/MOD-001/café + x.json");
    let put =
        async |bytes: &[u8], precondition| store.put(&key, bytes, "application/json", &precondition).await.unwrap();
    let done = |written| match written {
        Written::Done { etag, version_id } => (etag, version_id),
        Written::Conflict => panic!("a conflict where there is none"),
    };

    // Nothing there: every look says so, none fails.
    assert_eq!(store.list(prefix).await.unwrap(), []);
    assert_eq!(store.head(&key, None).await.unwrap(), None);
    assert_eq!(store.get(&key, None, 10).await.unwrap(), None);

    // A conditional write happens once.
    let (first_etag, first) = done(put(b"one", Precondition::Absent).await);
    assert_eq!(put(b"two", Precondition::Absent).await, Written::Conflict);
    assert_eq!(put(b"two", Precondition::Unchanged("\"other\"".into())).await, Written::Conflict);
    let (_, second) = done(put(b"two!", Precondition::Unchanged(first_etag.clone())).await);
    assert_eq!(put(b"three", Precondition::Unchanged(first_etag)).await, Written::Conflict);
    assert_ne!(first, second);

    // A write that was served before its answer came is done, and nothing is written twice; a part of it is another's.
    for stale in [Precondition::Absent, Precondition::Unchanged("\"other\"".into())] {
        assert_eq!(done(put(b"two!", stale.clone()).await).1, second);
        for other in [b"two".as_slice(), b"two!!", b"TWO!"] {
            assert_eq!(put(other, stale.clone()).await, Written::Conflict);
        }
    }

    // Both versions can be read; the newest is the one that is listed.
    let listed = store.list(prefix).await.unwrap();
    let [only] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((only.key.as_str(), only.version_id.as_str(), only.size), (key.as_str(), second.as_str(), 4));
    for (version, bytes) in [(&first, b"one".as_slice()), (&second, b"two!")] {
        let head = store.head(&key, Some(version)).await.unwrap().unwrap();
        assert_eq!((head.size, head.sha256), (bytes.len() as u64, Some(Sha256::of(bytes))));
        let body = store.get(&key, Some(version), 4).await.unwrap().unwrap();
        assert_eq!((body.bytes.as_slice(), &body.version_id), (bytes, version));
        let mut streamed = Vec::new();
        let mut sink = |piece: &[u8]| {
            streamed.extend_from_slice(piece);
            Ok(())
        };
        assert_eq!(store.stream(&key, version, &mut sink).await.unwrap(), Some(0));
        assert_eq!(streamed, bytes);
    }
    assert_eq!(store.head(&key, None).await.unwrap().unwrap().version_id, second);
    assert!(store.get(&key, None, 3).await.is_err(), "larger than the limit");

    // The first key and the folders are told without a listing of everything.
    assert_eq!(store.first(prefix).await.unwrap().as_deref(), Some(key.as_str()));
    assert_eq!(store.first(&format!("{prefix}nothing/")).await.unwrap(), None);
    assert_eq!(store.folders(prefix).await.unwrap(), ["modules"]);
    assert_eq!(store.folders(&format!("{prefix}modules/")).await.unwrap(), ["MOD-001"]);
    assert_eq!(store.folders(&format!("{prefix}nothing/")).await.unwrap(), Vec::<String>::new());

    // Tags belong to a version, and setting replaces all of them.
    let tags = |pairs: &[(&str, &str)]| -> Tags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let both = tags(&[("integration-passed", "false"), ("team", "payments & cards")]);
    assert!(store.put_tags(&key, &second, &both).await.unwrap());
    assert_eq!(store.tags(&key, &second).await.unwrap(), Some(both));
    assert_eq!(store.tags(&key, &first).await.unwrap(), Some(Tags::new()));
    assert_eq!(store.head(&key, Some(&second)).await.unwrap().unwrap().tag_count, 2);
    assert_eq!(store.stream(&key, &second, &mut |_| Ok(())).await.unwrap(), Some(2));
    let one = tags(&[("integration-passed", "true")]);
    assert!(store.put_tags(&key, &second, &one).await.unwrap());
    assert_eq!(store.tags(&key, &second).await.unwrap(), Some(one));
    let eleven = (0..11).map(|number| (format!("team-{number}"), "x".to_owned())).collect();
    store.put_tags(&key, &second, &eleven).await.unwrap_err();

    // A key may hold anything, control characters too, and comes back as it is.
    for odd in ["line\nfeed", "carriage\rreturn", "tab\tbell\u{7}", "%2F+ &amp;<é>", "\u{1}\u{1b}[31m"] {
        let key = format!("{prefix}odd/{odd}");
        let written = store.put(&key, b"x", "text/plain", &Precondition::Absent).await.unwrap();
        let (_, version_id) = done(written);
        assert!(store.put_tags(&key, &version_id, &tags(&[("team", "x")])).await.unwrap(), "{odd:?}");
        assert_eq!(store.get(&key, None, 1).await.unwrap().unwrap().version_id, version_id, "{odd:?}");
        let listed = store.list(&key).await.unwrap();
        assert_eq!(listed, [Listed { key, version_id, size: 1 }], "{odd:?}");
    }
}
