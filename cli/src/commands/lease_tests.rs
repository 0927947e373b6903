use super::*;

fn run(name: &str) -> LeasedRun {
    let evidence = if name == "pulumi" { Vec::new() } else { vec![RunFile::Manifest, RunFile::RunResults] };
    LeasedRun {
        name: name.parse().unwrap(),
        kind: name.split('-').next().unwrap().to_owned(),
        module: None,
        environment: BTreeMap::new(),
        command: Vec::new(),
        evidence,
    }
}

#[test]
fn each_run_that_leaves_documents_has_a_folder() {
    let of = |names: &[&str], given: &[&str]| {
        let runs: Vec<_> = names.iter().map(|name| run(name)).collect();
        let given: Vec<_> = given.iter().map(|it| (*it).to_owned()).collect();
        let folders = folders(&runs, &given).map_err(|Misuse(why)| why)?;
        Ok::<_, String>(folders.iter().map(|(name, folder)| format!("{name} {}", folder.display())).collect::<Vec<_>>())
    };
    assert_eq!(of(&["pulumi"], &[]), Ok(Vec::new()));
    assert_eq!(of(&["pulumi", "dbt-MOD-301"], &["target"]), Ok(vec!["dbt-MOD-301 target".to_owned()]));
    assert_eq!(of(&["dbt-MOD-301"], &["a=b"]), Ok(vec!["dbt-MOD-301 a=b".to_owned()]));
    let both = of(&["dbt-MOD-301", "dbt-MOD-302"], &["dbt-MOD-302=two", "dbt-MOD-301=one"]);
    assert_eq!(both, Ok(vec!["dbt-MOD-301 one".to_owned(), "dbt-MOD-302 two".to_owned()]));
    insta::assert_debug_snapshot!([
        of(&["dbt-MOD-301"], &[]),
        of(&["dbt-MOD-301", "dbt-MOD-302"], &["target"]),
        of(&["dbt-MOD-301", "dbt-MOD-302"], &["dbt-MOD-302=two"]),
        of(&["dbt-MOD-301"], &["one", "two"]),
        of(&["pulumi"], &["target"]),
    ]);
}

#[test]
fn the_file_is_its_owners_alone_and_gone_where_no_lease_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lease.json");
    drop(LeaseFile::reserve(&path).unwrap());
    assert!(!path.exists());

    let promotion = PromotionRef {
        stage: "uat".parse().unwrap(),
        repo: "bank-risk-platform".parse().unwrap(),
        promotion_id: "01J0000000000000000000000A".parse().unwrap(),
    };
    let leased = Leased::of(promotion.clone(), "arn".to_owned(), None, "secret".to_owned(), &Plan::default());
    LeaseFile::reserve(&path).unwrap().write(&leased).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let read = Leased::read(&path).unwrap();
    assert_eq!((read.promotion, read.token.as_str()), (promotion, "secret"));
    assert!(LeaseFile::reserve(&path).is_err_and(|Misuse(why)| why.contains("is there already")));
    fs::write(&path, "{}").unwrap();
    assert!(Leased::read(&path).is_err());
}

#[test]
fn a_command_is_told_as_a_shell_takes_it() {
    let command = ["pulumi", "up", "--message", "promotion 01J"].map(str::to_owned);
    assert_eq!(shell(&command), "pulumi up --message 'promotion 01J'");
}
