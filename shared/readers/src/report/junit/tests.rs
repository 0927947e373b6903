use std::fmt::Write as _;

use gatekeeper_model::outcome::Counts;
use proptest::prelude::*;

use crate::report::{Format, NotAReport, Recount, Recounted, TestId, names, read};

fn try_recount(xml: &[u8]) -> Result<Recount, NotAReport> {
    read(Format::Junit, xml).unwrap().map(|it| match it {
        Recounted::Tests(recount) => recount,
        Recounted::Coverage(_) => panic!("no coverage"),
    })
}

/// Passed, failed, skipped; and what contradicts it.
fn recount(xml: &str) -> ((u64, u64, u64), Vec<String>) {
    let Recount { counts, problems, .. } = try_recount(xml.as_bytes()).unwrap();
    ((counts.passed, counts.failed, counts.skipped), problems)
}

/// The same of every end, in words.
fn ends(xml: &str) -> String {
    let Recount { counts, problems, .. } = try_recount(xml.as_bytes()).unwrap();
    assert_eq!(problems, [""; 0]);
    counts.to_string()
}

fn counts(xml: &str) -> (u64, u64, u64) {
    let (counts, problems) = recount(xml);
    assert_eq!(problems, [""; 0]);
    counts
}

fn passed(xml: &str) -> Vec<String> {
    let ids = try_recount(xml.as_bytes()).unwrap().passed.unwrap();
    let names = names(Format::Junit, xml.as_bytes(), &ids.ids()).unwrap().unwrap();
    let mut names: Vec<_> = names.into_values().collect();
    names.sort();
    names
}

#[test]
fn vitest() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8" ?>
<testsuites name="vitest tests" tests="7" failures="3" errors="0" time="0.012971737">
    <testsuite name="tests/unit/a.test.ts" timestamp="2026-11-23T04:58:00.624Z" hostname="ci" tests="4" failures="1" errors="0" skipped="2" time="0.007">
        <testcase classname="tests/unit/a.test.ts" name="outer &gt; passes" time="0.0005">
        </testcase>
        <testcase classname="tests/unit/a.test.ts" name="outer &gt; fails &lt;&amp;&gt;" time="0.005">
            <failure message="expected 1 to be 2 // Object.is equality" type="AssertionError">
AssertionError: expected 1 to be 2 // Object.is equality
 ❯ a.test.js:2:89
            </failure>
        </testcase>
        <testcase classname="tests/unit/a.test.ts" name="outer &gt; skips" time="0">
            <skipped/>
        </testcase>
        <testcase classname="tests/unit/a.test.ts" name="outer &gt; todo" time="0">
            <skipped/>
        </testcase>
    </testsuite>
    <testsuite name="tests/unit/b.test.ts" timestamp="2026-11-23T04:58:00.633Z" hostname="ci" tests="1" failures="1" errors="0" skipped="0" time="0">
        <testcase classname="tests/unit/b.test.ts" name="tests/unit/b.test.ts" time="0">
            <failure message="Cannot find module &apos;./missing&apos;" type="Error">
            </failure>
        </testcase>
    </testsuite>
    <testsuite name="tests/unit/hook.test.ts" timestamp="2026-11-23T04:58:00.636Z" hostname="ci" tests="2" failures="1" errors="0" skipped="1" time="0.005">
        <testcase classname="tests/unit/hook.test.ts" name="s &gt; in" time="0">
            <skipped/>
        </testcase>
        <testcase classname="tests/unit/hook.test.ts" name="s" time="0.004">
            <failure message="hook" type="Error">
            </failure>
        </testcase>
    </testsuite>
</testsuites>
"#;
    assert_eq!(counts(xml), (1, 3, 3));
    assert_eq!(passed(xml), ["tests/unit/a.test.ts › outer > passes"]);
}

#[test]
fn vitest_with_all_skipped_and_with_no_test() {
    let all_skipped = r#"<testsuites name="vitest tests" tests="1" failures="0" errors="0" time="0">
    <testsuite name="u/skip.test.js" tests="1" failures="0" errors="0" skipped="1" time="0">
        <testcase classname="u/skip.test.js" name="all &gt; one" time="0">
            <skipped/>
        </testcase>
    </testsuite>
</testsuites>"#;
    assert_eq!(counts(all_skipped), (0, 0, 1));
    let pass_with_no_tests =
        "<testsuites name=\"vitest tests\" tests=\"0\" failures=\"0\" errors=\"0\" time=\"0\">\n</testsuites>";
    assert_eq!(counts(pass_with_no_tests), (0, 0, 0));
}

#[test]
fn jest_junit() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="2" failures="0" errors="1" time="0.557">
  <testsuite name="outer" errors="0" failures="0" skipped="1" timestamp="2026-11-23T05:00:01" time="0.302" tests="2">
    <testcase classname="outer passes" name="outer passes" time="0">
    </testcase>
    <testcase classname="outer skips" name="outer skips" time="0">
      <skipped/>
    </testcase>
  </testsuite>
  <testsuite name="b.test.js" errors="1" failures="0" skipped="0" timestamp="1970-01-01T00:00:00" time="0" tests="0">
    <testcase classname="Test suite failed to run" name="b.test.js" time="0">
      <error>  ● Test suite failed to run
</error>
    </testcase>
    <testcase classname="Test suite failed to run" name="b.test.js" time="0">
      <failure>{&quot;code&quot;:&quot;MODULE_NOT_FOUND&quot;}</failure>
    </testcase>
  </testsuite>
</testsuites>"#;
    assert_eq!(counts(xml), (1, 2, 1));
    assert_eq!(passed(xml), ["outer › outer passes"]);
}

#[test]
fn a_case_taken_out_of_vitests_report_is_missed() {
    let report = |cases: &str| {
        format!(
            "<testsuites name='vitest tests' tests='2' failures='0' errors='0'><testsuite name='a.test.ts' tests='2' \
             failures='0' errors='0' skipped='0'>{cases}</testsuite></testsuites>"
        )
    };
    assert_eq!(counts(&report("<testcase name='b'/><testcase name='c'/>")), (2, 0, 0));
    let (_, problems) = recount(&report("<testcase name='b'/>"));
    assert_eq!(problems, ["suite `a.test.ts` says that it has 2 tests, its cases show 1"]);
}

#[test]
fn pytest() {
    let xml = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="3" failures="5" skipped="3" tests="14" time="0.055" timestamp="2026-11-23T04:58:04.722+00:00" hostname="ci"><testcase classname="" name="test_c" time="0.000"><skipped message="collection skipped">('test_c.py', 1, 'Skipped: mod')</skipped></testcase><testcase classname="test_a" name="test_pass" time="0.000" /><testcase classname="test_a" name="test_fail" time="0.000"><failure message="AssertionError: &lt;&amp;&gt; #x1B&#10;assert 1 == 2">def</failure></testcase><testcase classname="test_a" name="test_skip" time="0.000"><skipped type="pytest.skip" message="no">test_a.py:4: no</skipped></testcase><testcase classname="test_a" name="test_xfail" time="0.000"><skipped type="pytest.xfail" message="" /></testcase><testcase classname="test_a" name="test_xpass" time="0.000" /><testcase classname="test_a" name="test_xpass_strict" time="0.000"><failure message="[XPASS(strict)] ">[XPASS(strict)] </failure></testcase><testcase classname="test_a" name="test_td" time="0.000"><error message="failed on teardown with &quot;RuntimeError: td&quot;">x</error></testcase><testcase classname="test_a" name="test_fail_td" time="0.000"><failure message="assert 0">x</failure></testcase><testcase classname="test_a" name="test_fail_td" time="0.000"><error message="failed on teardown with &quot;RuntimeError: td&quot;">x</error></testcase><testcase classname="test_a" name="test_su" time="0.000"><error message="failed on setup with &quot;RuntimeError&quot;">x</error></testcase><testcase classname="test_a" name="test_p[\xe9\u2713]" time="0.000" /><testcase classname="test_a.TestC" name="test_m" time="0.003"><failure message="assert 0">x</failure><failure message="contains 1 failed subtest">x</failure></testcase></testsuite></testsuites>"#;
    assert_eq!(ends(xml), "3 passed, 6 failed, 2 skipped, 1 failed as expected");
    assert_eq!(
        passed(xml),
        ["pytest › test_a › test_p[\\xe9\\u2713]", "pytest › test_a › test_pass", "pytest › test_a › test_xpass"]
    );
    let nothing_collected = r#"<testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="0" skipped="0" tests="0" time="0.017" hostname="ci" /></testsuites>"#;
    assert_eq!(counts(nothing_collected), (0, 0, 0));
    let import_failed = r#"<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="0" skipped="0" tests="1" time="0.2"><testcase classname="" name="test_b" time="0.000"><error message="collection failure">ImportError</error></testcase></testsuite></testsuites>"#;
    assert_eq!(counts(import_failed), (0, 1, 0));
}

#[test]
fn maven_surefire_with_retries() {
    // Surefire's header counts neither skipped nor flaky tests when it retries.
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report.xsd" version="3.0.2" name="x.ATest" time="0.007" tests="2" errors="1" skipped="0" failures="1">
  <properties>
    <property name="java.specification.version" value="17"/>
  </properties>
  <testcase name="errors" classname="x.ATest" time="0.024">
    <error message="x" type="java.lang.RuntimeException"><![CDATA[java.lang.RuntimeException: x
]]></error>
    <rerunError message="x" type="java.lang.RuntimeException">
      <stackTrace><![CDATA[java.lang.RuntimeException: x
]]></stackTrace>
    </rerunError>
    <rerunError message="x" type="java.lang.RuntimeException">
      <stackTrace><![CDATA[java.lang.RuntimeException: x
]]></stackTrace>
    </rerunError>
  </testcase>
  <testcase name="passes" classname="x.ATest" time="0.001"/>
  <testcase name="assumed" classname="x.ATest" time="0.0">
    <skipped type="org.opentest4j.TestAbortedException"><![CDATA[org.opentest4j.TestAbortedException]]></skipped>
  </testcase>
  <testcase name="fails" classname="x.ATest" time="0.004">
    <failure message="&lt;&amp;&gt; ==&gt; expected: &lt;1&gt; but was: &lt;2&gt;" type="org.opentest4j.AssertionFailedError"><![CDATA[x]]></failure>
    <rerunFailure message="&lt;&amp;&gt;" type="org.opentest4j.AssertionFailedError">
      <stackTrace><![CDATA[x]]></stackTrace>
    </rerunFailure>
  </testcase>
  <testcase name="flaky" classname="x.ATest" time="0.0">
    <flakyFailure message="first" type="org.opentest4j.AssertionFailedError">
      <stackTrace><![CDATA[org.opentest4j.AssertionFailedError: first
]]></stackTrace>
    </flakyFailure>
  </testcase>
</testsuite>"#;
    assert_eq!(ends(xml), "1 passed, 2 failed, 1 skipped, 1 flaky");
    assert_eq!(passed(xml), ["x.ATest › flaky", "x.ATest › passes"]);
    let before_all = r#"<testsuite name="x.BTest" time="0.001" tests="1" errors="1" skipped="0" failures="0"><testcase name="" classname="x.BTest" time="0.035"><error message="ba" type="java.lang.RuntimeException">x</error></testcase></testsuite>"#;
    assert_eq!(counts(before_all), (0, 1, 0));
}

#[test]
fn gradle() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="bank.LedgerTest" tests="3" skipped="1" failures="1" errors="0" timestamp="2026-11-23T05:00:00" hostname="ci" time="0.024">
  <properties/>
  <testcase name="posts()" classname="bank.LedgerTest" time="0.011"/>
  <testcase name="rejects()" classname="bank.LedgerTest" time="0.002">
    <failure message="org.opentest4j.AssertionFailedError: expected: &lt;1&gt;" type="org.opentest4j.AssertionFailedError">org.opentest4j.AssertionFailedError</failure>
  </testcase>
  <testcase name="later()" classname="bank.LedgerTest" time="0.0">
    <skipped/>
  </testcase>
  <system-out><![CDATA[<testcase name="printed"/>]]></system-out>
  <system-err><![CDATA[warning]]></system-err>
</testsuite>"#;
    assert_eq!(counts(xml), (1, 1, 1));
    assert_eq!(passed(xml), ["bank.LedgerTest › posts()"]);
}

#[test]
fn cargo_nextest() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="1" errors="0" uuid="5ba0e7c1-8b1e-4c9f-b3a2-1c1f8a4d3f10" timestamp="2026-11-23T05:00:00.000+00:00" time="0.123">
    <testsuite name="gatekeeper" tests="4" disabled="0" errors="0" failures="1">
        <testcase name="ids::tests::a_sha" classname="gatekeeper" timestamp="2026-11-23T05:00:00.000+00:00" time="0.004">
        </testcase>
        <testcase name="flaky" classname="gatekeeper" timestamp="2026-11-23T05:00:00.000+00:00" time="0.004">
            <flakyFailure timestamp="2026-11-23T05:00:00.000+00:00" time="0.01" message="panicked" type="test failure"><system-out>x</system-out></flakyFailure>
        </testcase>
        <testcase name="fails" classname="gatekeeper" timestamp="2026-11-23T05:00:00.000+00:00" time="0.004">
            <failure message="thread &apos;fails&apos; panicked" type="test failure">x</failure>
            <rerunFailure timestamp="2026-11-23T05:00:00.000+00:00" time="0.01" message="panicked" type="test failure"></rerunFailure>
            <system-err>x</system-err>
        </testcase>
        <testcase name="signalled" classname="gatekeeper" time="0.004">
        </testcase>
    </testsuite>
</testsuites>"#;
    assert_eq!(ends(xml), "2 passed, 1 failed, 0 skipped, 1 flaky");
    assert_eq!(passed(xml)[1], "gatekeeper › ids::tests::a_sha");
}

#[test]
fn mochas_own_reporter() {
    // Its failures are `errors` in the header, and a hook's failure is a case that the header doesn't count.
    let xml = r#"<testsuite name="Mocha Tests" tests="3" failures="0" errors="2" skipped="1" timestamp="Mon, 23 Nov 2026 04:58:06 GMT" time="0.004">
<testcase classname="outer" name="passes" file="/tmp/x/a.js" time="0"/>
<testcase classname="outer" name="fails &#x3C;&#x26;&#x3E;" file="/tmp/x/a.js" time="0.001"><failure>1 == 2</failure></testcase>
<testcase classname="outer" name="skips" file="/tmp/x/a.js" time="0"><skipped/></testcase>
<testcase classname="hook" name="&#x22;before all&#x22; hook for &#x22;never&#x22;" file="/tmp/x/a.js" time="0"><failure>hook</failure></testcase>
</testsuite>"#;
    assert_eq!(counts(xml), (1, 2, 1));
}

#[test]
fn mocha_junit_reporter_leaves_skipped_tests_out() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="Mocha Tests" time="0.008" tests="4" failures="0" skipped="2">
  <testsuite name="Root Suite" timestamp="2026-11-23T04:59:08" tests="0" time="0.000" failures="0">
  </testsuite>
  <testsuite name="outer" timestamp="2026-11-23T04:59:08" tests="3" file="/tmp/x/a.js" time="0.000" failures="0">
    <testcase name="outer passes" time="0.000" classname="passes">
    </testcase>
  </testsuite>
  <testsuite name="inner" timestamp="2026-11-23T04:59:08" tests="1" file="/tmp/x/a.js" time="0.000" failures="0">
    <testcase name="outer inner deep" time="0.000" classname="deep">
    </testcase>
  </testsuite>
</testsuites>"#;
    assert_eq!(ends(xml), "2 passed, 0 failed, 2 skipped");
}

#[test]
fn nodes_test_runner() {
    // A failed to-do is both, and a file that could not be loaded a case outside of any suite. Escape sequences stand as
    // they are, which no XML allows.
    let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>
<testsuites>
	<testsuite name=\"outer\" time=\"0.004315\" disabled=\"0\" errors=\"0\" tests=\"4\" failures=\"2\" skipped=\"2\" hostname=\"ci\">
		<testcase name=\"passes\" time=\"0.001007\" classname=\"test\"/>
		<testcase name=\"fails &lt;&amp;>\" time=\"0.001309\" classname=\"test\" failure=\"1 == 2\">
			<failure type=\"testCodeFailure\" message=\"1 == 2\">
\u{1b}[31mError [ERR_TEST_FAILURE]: 1 == 2
    at TestContext.&lt;anonymous> (/tmp/x/a.test.js:2:82)
			</failure>
		</testcase>
		<testcase name=\"skips\" time=\"0.000163\" classname=\"test\">
			<skipped type=\"skipped\" message=\"why\"/>
		</testcase>
		<testcase name=\"todo\" time=\"0.000125\" classname=\"test\" failure=\"todo fails\">
			<skipped type=\"todo\" message=\"true\"/>
			<failure type=\"testCodeFailure\" message=\"todo fails\">x</failure>
		</testcase>
	</testsuite>
	<testcase name=\"plain\" time=\"0.000285\" classname=\"test\"/>
	<testcase name=\"/tmp/x/node/b.test.js\" time=\"0.093873\" classname=\"test\" failure=\"test failed\">
		<failure type=\"testCodeFailure\" message=\"test failed\">x</failure>
	</testcase>
	<!-- tests 10 -->
</testsuites>";
    assert_eq!(ends(xml), "2 passed, 2 failed, 1 skipped, 1 to do");
    assert_eq!(passed(xml), ["outer › test › passes", "test › plain"]);
}

#[test]
fn gotestsum() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1" errors="1" time="0.041000">
	<testsuite tests="3" failures="1" time="0.004000" name="example.com/bank/ledger" timestamp="2026-11-23T05:00:00Z">
		<properties>
			<property name="go.version" value="go1.24.1 linux/amd64"></property>
		</properties>
		<testcase classname="example.com/bank/ledger" name="TestPost" time="0.000000"></testcase>
		<testcase classname="example.com/bank/ledger" name="TestPost/twice" time="0.000000">
			<failure message="Failed" type="">=== RUN   TestPost/twice&#xA;</failure>
		</testcase>
		<testcase classname="example.com/bank/ledger" name="TestLater" time="0.000000">
			<skipped message="=== RUN   TestLater&#xA;"></skipped>
		</testcase>
	</testsuite>
</testsuites>"#;
    // The root's `errors` are packages that did not build: they have no case.
    let (counts, problems) = recount(xml);
    assert_eq!(counts, (1, 2, 1));
    assert_eq!(problems, ["the report says that 2 failed, its cases show 1"]);
}

#[test]
fn phpunit_with_nested_suites() {
    let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="/srv/ci/bank/phpunit.xml" tests="4" assertions="3" errors="1" failures="1" skipped="1" time="0.009">
    <testsuite name="unit" tests="4" assertions="3" errors="1" failures="1" skipped="1" time="0.009">
      <testsuite name="LedgerTest" file="/srv/ci/bank/tests/LedgerTest.php" tests="4" assertions="3" errors="1" failures="1" skipped="1" time="0.009">
        <testcase name="testPosts" file="/srv/ci/bank/tests/LedgerTest.php" line="9" class="LedgerTest" classname="LedgerTest" assertions="1" time="0.003"/>
        <testcase name="testLater" file="/srv/ci/bank/tests/LedgerTest.php" line="14" class="LedgerTest" classname="LedgerTest" assertions="0" time="0.0"><skipped/></testcase>
        <testsuite name="LedgerTest::testAmounts" tests="2" assertions="2" errors="1" failures="1" skipped="0" time="0.002">
          <testcase name="testAmounts with data set #0" class="LedgerTest" classname="LedgerTest" assertions="1" time="0.001"><failure type="PHPUnit\Framework\ExpectationFailedException">x</failure></testcase>
          <testcase name="testAmounts with data set #1" class="LedgerTest" classname="LedgerTest" assertions="1" time="0.001"><error type="PHPUnit\Framework\RiskyTestError">Risky Test</error></testcase>
        </testsuite>
      </testsuite>
    </testsuite>
  </testsuite>
</testsuites>"#;
    assert_eq!(counts(xml), (1, 2, 1));
    assert_eq!(passed(xml), ["bank/phpunit.xml › unit › LedgerTest › testPosts"]);
}

#[test]
fn a_status_attribute_counts_where_it_is_worse() {
    let case = |attributes: &str, child: &str| {
        counts(&format!(r#"<testsuite name="s"><testcase name="a" {attributes}>{child}</testcase></testsuite>"#))
    };
    let (passed, failed, skipped) = ((1, 0, 0), (0, 1, 0), (0, 0, 1));
    assert_eq!(case(r#"status="run" result="completed""#, ""), passed);
    assert_eq!(case(r#"status="passed""#, ""), passed);
    assert_eq!(case(r#"status="notrun" result="suppressed""#, ""), skipped);
    assert_eq!(case(r#"status="run" result="skipped""#, "<skipped message=\"\"/>"), skipped);
    assert_eq!(case(r#"status="disabled""#, ""), skipped);
    assert_eq!(
        ends(r#"<testsuite><testcase name="a" status="notrun"/></testsuite>"#),
        "0 passed, 0 failed, 0 skipped, 1 not run"
    );
    assert_eq!(case(r#"status="Skipped""#, ""), skipped);
    assert_eq!(case(r#"status="failed""#, ""), failed);
    assert_eq!(case(r#"status="fail" result="skipped""#, "<skipped/>"), failed);
    assert_eq!(case(r#"status="passed""#, "<failure/>"), failed);
    assert_eq!(case(r#"status="skipped""#, "<failure/>"), failed);
    assert_eq!(case("", "<failure/><failure/><error/><skipped/>"), failed);
    assert_eq!(case("", "<warning>no tests found in class</warning>"), skipped);
}

#[test]
fn a_header_that_tells_of_worse_than_its_cases_is_told_and_counted() {
    for (xml, counts, problem) in [
        (
            r#"<testsuites><testsuite name="b.test.js" tests="0" errors="1"/></testsuites>"#,
            (0, 1, 0),
            "suite `b.test.js` says that 1 failed, its cases show 0",
        ),
        (
            r#"<testsuites failures="1" tests="1"><testsuite name="a"><testcase name="x"/></testsuite></testsuites>"#,
            (1, 1, 0),
            "the report says that 1 failed, its cases show 0",
        ),
        (
            r#"<testsuites><testsuite name="a"><system-err>cannot find module</system-err></testsuite></testsuites>"#,
            (0, 0, 0),
            "suite `a` wrote to standard error and shows no test",
        ),
    ] {
        assert_eq!(recount(xml), (counts, vec![problem.to_owned()]));
    }
    // Skipped tests without a case are no contradiction, and the suites around them count them once.
    let skipped = r#"<testsuites skipped="2"><testsuite name="a" tests="3" skipped="2" disabled="1"><testcase name="x"/></testsuite></testsuites>"#;
    assert_eq!(counts(skipped), (1, 0, 2));
    // What it tells of better counts for nothing.
    let better =
        r#"<testsuite name="a" tests="0" failures="0" errors="no"><testcase name="x"><error/></testcase></testsuite>"#;
    assert_eq!(counts(better), (0, 1, 0));
}

#[test]
fn a_header_that_counts_more_is_explained_by_the_innermost_suite_or_not_at_all() {
    let told = |xml: &str| {
        let Recount { counts, problems, unexplained, .. } = try_recount(xml.as_bytes()).unwrap();
        assert_eq!(problems, [""; 0]);
        std::iter::once(counts.to_string()).chain(unexplained).collect::<Vec<_>>().join("; ")
    };
    let none = "1 passed, 0 failed, 0 skipped";
    for (xml, right) in [
        (r#"<testsuite name="a" tests="3" skipped="0"><testcase name="x"/></testsuite>"#, none.to_owned()),
        (r#"<testsuite name="a" tests="3" skip="0"><testcase name="x"/></testsuite>"#, none.to_owned()),
        (
            r#"<testsuite name="a" tests="3"><testcase name="x"/></testsuite>"#,
            format!("{none}, 2 unexplained; suite `a` says that it has 3 tests, its cases show 1: 2 are unexplained"),
        ),
        // A suite that was lost, which the root counts.
        (
            r#"<testsuites tests="3" skipped="0"><testsuite name="a" tests="1" skipped="0"><testcase name="x"/></testsuite></testsuites>"#,
            format!("{none}, 2 unexplained; the report says that it has 3 tests, its cases show 1: 2 are unexplained"),
        ),
        // The root tells what became of one of them.
        (
            r#"<testsuites tests="3" skipped="1"><testsuite name="a" tests="3"><testcase name="x"/></testsuite></testsuites>"#,
            "1 passed, 0 failed, 1 skipped, 1 unexplained; suite `a` says that it has 3 tests, its cases show 1: 2 are \
             unexplained"
                .to_owned(),
        ),
        (r#"<testsuite name="a" tests="8" hostname="tbd"><testcase name="x"/></testsuite>"#, none.to_owned()),
        (r#"<testsuite name="a" tests="8" doctest_version="2.4"><testcase name="x"/></testsuite>"#, none.to_owned()),
        // newman's suites count tests, and only its root something else.
        (
            r#"<testsuites tests="9" time="1"><testsuite name="a" id="1" tests="2"><testcase name="x"/></testsuite></testsuites>"#,
            format!("{none}, 1 unexplained; suite `a` says that it has 2 tests, its cases show 1: 1 are unexplained"),
        ),
    ] {
        assert_eq!(told(xml), right, "{xml}");
    }
}

#[test]
fn a_header_that_counts_fewer_tells_of_attempts_and_of_to_dos() {
    let suite = |header: &str, cases: &str| ends(&format!("<testsuite name='a' {header}>{cases}</testsuite>"));
    let (x, y) = ("<testcase name='x'/>", "<testcase name='y'/>");
    let failed = "<testcase name='x'><failure/></testcase>";
    assert_eq!(suite("tests='1'", &format!("{x}{x}{x}")), "0 passed, 0 failed, 0 skipped, 1 flaky");
    assert_eq!(suite("tests='2'", &format!("{x}{y}{x}")), "1 passed, 0 failed, 0 skipped, 1 flaky");
    assert_eq!(suite("tests='1'", &format!("{x}{y}")), "1 passed, 0 failed, 0 skipped, 1 to do");
    assert_eq!(suite("tests='0'", &format!("{x}{y}")), "0 passed, 0 failed, 0 skipped, 2 to do");
    // jest-junit's names may stand twice, and what is too many is to do all the same.
    let jest = "errors='0' failures='0' skipped='0' time='1' tests='2'";
    assert_eq!(suite(jest, &format!("{x}{x}{y}")), "2 passed, 0 failed, 0 skipped, 1 to do");
    // Where the header counts them all, they are several.
    assert_eq!(suite("tests='2'", &format!("{x}{x}")), "2 passed, 0 failed, 0 skipped");
    assert_eq!(suite("", &format!("{x}{x}")), "2 passed, 0 failed, 0 skipped");
    // Skips that the header tells of apart are no to-dos; jest-junit's `tests` are skips too.
    let skipped = format!("{x}<testcase name='z'><skipped/></testcase>");
    assert_eq!(suite("tests='1' skipped='1'", &skipped), "1 passed, 0 failed, 1 skipped");
    let jest = "errors='0' failures='0' skipped='1' time='1' tests='1'";
    assert_eq!(suite(jest, &skipped), "0 passed, 0 failed, 1 skipped, 1 to do");
    // A failure stays one, whatever passes before or after it.
    for cases in [format!("{failed}{x}"), format!("{x}{failed}")] {
        assert_eq!(suite("tests='1' failures='1'", &cases), "0 passed, 1 failed, 0 skipped");
        assert_eq!(suite("tests='2' failures='1'", &cases), "1 passed, 1 failed, 0 skipped");
        let two = format!(
            "<testsuites><testsuite name='a'>{failed}</testsuite><testsuite name='a'>{x}</testsuite></testsuites>"
        );
        assert_eq!(ends(&two), "1 passed, 1 failed, 0 skipped");
    }
    // The innermost suite decides.
    let inner = format!("<testsuites tests='1'><testsuite name='a' tests='2'>{x}{y}</testsuite></testsuites>");
    assert_eq!(ends(&inner), "2 passed, 0 failed, 0 skipped");
    let untold = format!("<testsuites tests='1'><testsuite name='a'>{x}{y}</testsuite></testsuites>");
    assert_eq!(ends(&untold), "1 passed, 0 failed, 0 skipped, 1 to do");
}

#[test]
fn a_failure_and_a_pass_of_one_name_are_a_rerun_where_gotestsum_wrote_them() {
    let suite = |properties: &str| {
        let cases = "<testcase name='x'><failure/></testcase><testcase name='y'/><testcase name='x'/>";
        let xml = format!("<testsuite name='a' tests='3' failures='1'>{properties}{cases}</testsuite>");
        let Recount { counts, retried, .. } = try_recount(xml.as_bytes()).unwrap();
        (counts.to_string(), retried)
    };
    let go = |version: &str| format!("<properties><property name='go.version' value='{version}'/></properties>");
    assert_eq!(suite(&go("go1.26.8 linux/amd64")), ("1 passed, 1 failed, 0 skipped".to_owned(), 1));
    // go-junit-report's, whose own exit code says nothing of the tests.
    for other in [go("go1.15"), String::new()] {
        assert_eq!(suite(&other), ("2 passed, 1 failed, 0 skipped".to_owned(), 0));
    }
}

#[test]
fn closing_comments_count_where_no_case_failed() {
    let xml = |cases: &str, comments: &str| format!("<testsuites>{cases}{comments}</testsuites>");
    let ok = "<testcase name='a' classname='test'/>";
    let told = |cases: &str, comments: &str| recount(&xml(cases, comments));
    let says = vec!["its closing comment says that 1 failed, its cases show 0".to_owned()];
    assert_eq!(told(ok, "<!-- fail 1 -->"), ((1, 1, 0), says.clone()));
    assert_eq!(told(ok, "<!--cancelled 1-->"), ((1, 1, 0), says));
    // The last one is Node's own; and what tests say of themselves is no summary.
    assert_eq!(told(ok, "<!-- fail 1 --><!-- fail 0 -->"), ((1, 0, 0), vec![]));
    assert_eq!(told("<testsuite name='a'><testcase name='b'/><!-- fail 1 --></testsuite>", ""), ((1, 0, 0), vec![]));
    assert_eq!(told(ok, "<!-- fail 1 of them -->"), ((1, 0, 0), vec![]));
    assert_eq!(told("<testcase name='a'><failure/></testcase>", "<!-- fail 3 -->"), ((0, 1, 0), vec![]));
    assert_eq!(ends(&xml(ok, "<!-- skipped 1 --><!-- todo 2 -->")), "1 passed, 0 failed, 1 skipped, 2 to do");
}

#[test]
fn a_failure_of_a_suite_is_one_of_its_own() {
    let xml = r#"<testsuites><failure/><testsuite name="a" tests="1" errors="1"><error message="setup"/><testcase name="x"/></testsuite><testsuite name="b"><skipped/></testsuite></testsuites>"#;
    assert_eq!(counts(xml), (1, 2, 1));
}

#[test]
fn what_is_no_junit_is_refused_with_the_line() {
    let wrong: Vec<_> = [
        "",
        "<html><body>404</body></html>",
        "<testcase name='a'/>",
        "<testsuites>\n<testsuite name='a'>\n<testcase name='a'/>",
        "<testsuites/><testsuites/>",
        "<testsuite><testcase name='a'>\n<testcase name='b'/></testcase></testsuite>",
        "<testsuite><properties>\n<testcase name='b'/></properties></testsuite>",
        "<testsuite name='a' tests='1' tests='2'/>",
    ]
    .iter()
    .map(|xml| try_recount(xml.as_bytes()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    not JUnit XML: line 1: it holds no element
    not JUnit XML: line 1: the root element is `html`, not `testsuites` or `testsuite`
    not JUnit XML: line 1: the root element is `testcase`, not `testsuites` or `testsuite`
    not JUnit XML: line 3: it ends inside of `testsuite`: the document is cut off
    not JUnit XML: line 1: a second root element, `testsuites`
    not JUnit XML: line 2: a `testcase` that is not directly in a suite
    not JUnit XML: line 2: a `testcase` that is not directly in a suite
    not JUnit XML: line 1: the attribute `tests` stands twice
    "#);
}

/// A document, written as quick-junit would, and what it holds.
#[derive(Debug, Clone)]
struct Written {
    xml: String,
    counts: Counts,
    passed: std::collections::BTreeSet<TestId>,
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c => out.push(c),
        }
        out
    })
}

fn written() -> impl Strategy<Value = Written> {
    let output = prop_oneof![
        Just(String::new()),
        "[a-z \\n]{0,20}".prop_map(|text| format!("<system-out><![CDATA[{text}<testcase>]]]]></system-out>")),
        "[a-z<&]{0,20}".prop_map(|text| format!("<!-- <x> --><system-err>{}</system-err>", escaped(&text))),
    ];
    let case = ("[a-zé✓<&\"\\n]{1,12}", 0..4_u8, output);
    let suites = proptest::collection::vec(proptest::collection::vec(case, 0..8), 0..5);
    suites.prop_map(|suites| {
        let (mut counts, mut passed) = (Counts::default(), std::collections::BTreeSet::new());
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"run\">\n".to_owned();
        for (number, cases) in suites.into_iter().enumerate() {
            writeln!(xml, "<testsuite name=\"suite {number}\" tests=\"{}\">", cases.len()).unwrap();
            for (name, end, output) in cases {
                let child = match end {
                    0 => {
                        counts.skipped += 1;
                        "<skipped/>"
                    }
                    1 => {
                        counts.failed += 1;
                        "<skipped/><failure message=\"a > b\">x</failure><error/>"
                    }
                    _ => {
                        counts.passed += 1;
                        passed.insert(TestId::of(&format!("suite {number} › {name}")));
                        ""
                    }
                };
                writeln!(xml, "<testcase name=\"{}\">{child}{output}</testcase>", escaped(&name)).unwrap();
            }
            xml.push_str("</testsuite>\n");
        }
        xml.push_str("</testsuites>");
        Written { xml, counts, passed }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_counted(written in written(), encoding in 0..3) {
        let bytes = match encoding {
            0 => written.xml.clone().into_bytes(),
            1 => ["\u{feff}".as_bytes(), written.xml.as_bytes()].concat(),
            _ => format!("\u{feff}{}", written.xml.replace("UTF-8", "UTF-16"))
                .encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect(),
        };
        let recount = try_recount(&bytes).unwrap();
        prop_assert_eq!(recount.counts, written.counts);
        prop_assert_eq!(recount.problems, Vec::<String>::new());
        prop_assert_eq!(&recount.passed.as_ref().unwrap().ids(), &written.passed);
    }

    #[test]
    fn a_document_cut_off_anywhere_is_refused(written in written(), at in any::<prop::sample::Index>()) {
        let bytes = written.xml.as_bytes();
        prop_assert!(try_recount(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_recounted_or_refused(bytes: Vec<u8>) {
        let _ = try_recount(&bytes);
    }

    #[test]
    fn any_change_of_a_document_is_recounted_or_refused(
        written in written(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut bytes = written.xml.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = try_recount(&bytes);
    }
}
