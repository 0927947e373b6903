//! Every checksum is the one that the real Flyway writes for the same bytes.

use std::collections::BTreeMap;

use e2e::{
    databases::{Database, folder_of},
    instance::Instance,
    odd_migrations::{PLACEHOLDERS, odd_migrations},
    tell,
};
use gatekeeper_readers::flyway::{
    checksum::{checksum_with, scan},
    migration_name::{MigrationKind, MigrationName},
};

#[tokio::test]
async fn hundreds_of_odd_files_have_the_checksums_that_flyway_records() {
    let aws = Instance::get().await;
    let (dev, files) = (Database::scratch(&aws), odd_migrations());
    let folder = folder_of(&files);
    let migrated = dev.flyway_with("migrate", folder.path(), &PLACEHOLDERS);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stdout));
    let rows = dev.sql("SELECT checksum || ' ' || script FROM flyway_schema_history WHERE checksum IS NOT NULL");
    let recorded: BTreeMap<_, _> =
        rows.lines().map(|row| row.split_once(' ').unwrap()).map(|(it, of)| (of, it)).collect();
    dev.drop();

    let values: BTreeMap<String, String> =
        PLACEHOLDERS.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut wrong = Vec::new();
    for (path, bytes) in &files {
        let ours = match MigrationName::parse(path).unwrap().kind {
            MigrationKind::Repeatable => {
                let mut values = values.clone();
                values.insert("flyway:filename".to_owned(), path.rsplit('/').next().unwrap().to_owned());
                values.insert("flyway:table".to_owned(), "flyway_schema_history".to_owned());
                checksum_with(bytes.as_slice(), &values).unwrap().unwrap()
            }
            _ => scan(bytes.as_slice()).unwrap().unwrap().checksum,
        };
        if recorded.get(path.as_str()) != Some(&ours.to_string().as_str()) {
            wrong.push(format!("{path}: ours {ours}, Flyway's {:?}", recorded.get(path.as_str())));
        }
    }
    tell(&format!("{} odd migrations, {} checksums recorded by Flyway", files.len(), recorded.len()));
    assert!(files.len() >= 200 && wrong.is_empty(), "{wrong:#?}");
}
