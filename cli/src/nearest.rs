//! What somebody meant who misspelt a name.

/// How alike two names are at the least that one is told for the other, by Jaro and Winkler's measure. Of short names, in
/// which one letter is much, those are alike too that differ by one letter, or by two that changed places.
const ALIKE: f64 = 0.85;

/// The known name that is most like `given`; `None` where none is much like it.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    let alike = known.into_iter().map(|name| {
        let plain = name.to_ascii_lowercase();
        let is_near = given.len() > 1 && strsim::osa_distance(&given, &plain) <= 1;
        let measure = strsim::jaro_winkler(&given, &plain);
        (if is_near { measure.max(ALIKE) } else { measure }, name)
    });
    let best = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, name)| name)
}

/// `; did you mean `uat`?`, or which ones there are; nothing where there are none.
pub(crate) fn meant<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None => {
            let shown: Vec<_> = known.iter().take(10).map(|name| format!("`{name}`")).collect();
            let more = if known.len() > shown.len() { ", …" } else { "" };
            format!("; there are {}{more}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_and_another_one_is_not() {
        let known = ["bank-payments", "bank-kyc", "bank-risk-platform"];
        for (given, meant) in [
            ("bank-payment", Some("bank-payments")),
            ("Bank-Paymetns", Some("bank-payments")),
            ("bnak-kyc", Some("bank-kyc")),
            ("website", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
        assert_eq!(meant("uta", ["uat", "prod"]), "; did you mean `uat`?");
        assert_eq!(meant("staging", ["uat", "prod"]), "; there are `uat`, `prod`");
        assert_eq!(meant("uat", []), "");
    }
}
