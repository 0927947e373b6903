//! LCOV tracefiles (`man geninfo`, "TRACEFILE FORMAT"), as Istanbul, V8, Node, coverage.py, LLVM, bun and lcov write them.
//!
//! Lines (`DA`) and functions (`FN` with `FNDA`, or `FNL` with `FNA` since lcov 2.2) are counted one by one, and the sums of
//! a record (`LF`, `LH`, `FNF`, `FNH`) are held against them. Several records of one file are one, as `lcov -a` writes them
//! for several `TN`: what ran in one of them ran.
//!
//! What a function is differs by producer, so the sums decide which of these it is: each occurrence (Node's runner,
//! Istanbul and V8 have a class's methods by their bare names), or each name (lcov 1). A record that lists no functions is
//! believed by its sums (bun). So is LLVM, known by having no `TN`, within what its lists allow: it counts the instances of
//! a template once and a lambda's lines twice, by columns that a tracefile doesn't tell
//! (`CoverageExporterLcov.cpp`; `llvm-cov report` says the same).

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
};

use super::{Coverage, Covered};
use crate::{
    report::{NotAReport, Stop, TestId, recount::push_problem},
    shown::shown,
};

/// The longest line in bytes: the names of C++ functions may be long.
const MAX_LINE: usize = 64 * 1024;

/// The most bytes of a record, which is kept while it is read: some 500,000 lines.
const MAX_RECORD: usize = 8 * 1024 * 1024;

/// The most lines and functions of all files together, which are kept until the end: 4 and 17 bytes each.
const MAX_KEPT: usize = 4_000_000;

/// Reads a tracefile.
pub(in crate::report) fn read(reader: impl Read) -> Result<Coverage, Stop> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let (mut tracefile, mut bytes, mut number) = (Tracefile::default(), Vec::new(), 0);
    loop {
        bytes.clear();
        (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        number += 1;
        if bytes.len() > MAX_LINE {
            return Err(NotAReport::at(number, format!("longer than {MAX_LINE} bytes")).into());
        }
        // Paths and names may be in any encoding; the figures are ASCII.
        let line = String::from_utf8_lossy(&bytes);
        tracefile.line(line.trim_end()).map_err(|why| NotAReport::at(number, why))?;
    }
    if tracefile.record.is_some() {
        return Err(NotAReport::at(number, "no `end_of_record`: the file is cut off").into());
    }
    if tracefile.files.is_empty() {
        return Err(NotAReport::new("it holds no record").into());
    }
    Ok(tracefile.coverage())
}

#[derive(Default)]
struct Tracefile {
    files: BTreeMap<String, SourceFile>,
    kept: usize,
    problems: Vec<String>,
    record: Option<Record>,
    /// Whether there was a `TN`, which LLVM never writes.
    has_test_names: bool,
}

/// What all records of a file show together.
#[derive(Default)]
struct SourceFile {
    /// Each line's number and, as the lowest bit, whether it ran; sorted.
    lines: Vec<u32>,
    /// Each function and whether it ran; sorted.
    functions: Vec<(TestId, bool)>,
    /// The sums that are believed in their place.
    told_lines: Covered,
    told_functions: Covered,
}

/// What a record shows and says of itself.
#[derive(Default)]
struct Record {
    file: String,
    bytes: usize,
    lines: BTreeMap<u32, bool>,
    /// `FN`: where a function starts, and its name.
    starts: Vec<(u32, String)>,
    /// `FNDA`: whether the functions of a name ran, in their order.
    runs: BTreeMap<String, Vec<bool>>,
    /// `FNL` and `FNA`: where a function starts, and whether it ran under any of its names.
    indexed: BTreeMap<u64, (u32, bool)>,
    sums: BTreeMap<&'static str, u64>,
}

/// The sums that a record may have.
const SUMS: [&str; 4] = ["LF", "LH", "FNF", "FNH"];

impl Tracefile {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line == "end_of_record" {
            let record = self.record.take().ok_or("`end_of_record` ends no record")?;
            return self.close(record);
        }
        let Some((keyword, value)) = line.split_once(':') else {
            // Comments, and blank lines between the tracefiles of one.
            return if line.is_empty() || line.starts_with('#') {
                Ok(())
            } else {
                Err(format!("`{}` is no line of a tracefile", shown(line)))
            };
        };
        if line.starts_with('#') {
            return Ok(());
        }
        if keyword == "SF" {
            let before = self.record.replace(Record { file: value.to_owned(), ..Record::default() });
            return match before {
                Some(record) => Err(format!("the record of `{}` has no end", shown(&record.file))),
                None => Ok(()),
            };
        }
        match &mut self.record {
            Some(record) => {
                record.bytes += line.len();
                if record.bytes > MAX_RECORD {
                    return Err(format!("the record of `{}` is longer than {MAX_RECORD} bytes", shown(&record.file)));
                }
                record.line(keyword, value).ok_or_else(|| format!("`{}` has no figures", shown(line)))
            }
            None if keyword == "TN" => {
                self.has_test_names = true;
                Ok(())
            }
            None => Err(format!("`{}` stands in no record", shown(line))),
        }
    }

    fn close(&mut self, record: Record) -> Result<(), String> {
        let file = shown(&record.file);
        let mut say = |problem: String| push_problem(&mut self.problems, problem);
        let may_be_llvm = !self.has_test_names;
        let (lines, told_lines) = record.lines(&file, may_be_llvm, &mut say);
        let (functions, told_functions) = record.functions(&file, may_be_llvm, &mut say);
        self.kept += lines.len() + functions.len();
        if self.kept > MAX_KEPT {
            return Err(format!("more than {MAX_KEPT} lines and functions"));
        }
        let all = self.files.entry(record.file).or_default();
        all.lines = merged(std::mem::take(&mut all.lines), lines, |line| line >> 1, |a, b| a | b);
        all.functions = merged(std::mem::take(&mut all.functions), functions, |it| it.0, |a, b| (a.0, a.1 || b.1));
        all.told_lines = all.told_lines.or(told_lines);
        all.told_functions = all.told_functions.or(told_functions);
        Ok(())
    }

    fn coverage(self) -> Coverage {
        let mut coverage = Coverage { problems: self.problems, ..Coverage::default() };
        for file in self.files.into_values() {
            let (mut lines, mut functions) = (Covered::default(), Covered::default());
            file.lines.iter().for_each(|line| lines.one(line & 1 == 1));
            file.functions.iter().for_each(|(_, has_run)| functions.one(*has_run));
            coverage.lines.add(lines.or(file.told_lines));
            coverage.functions.add(functions.or(file.told_functions));
        }
        coverage
    }
}

/// Both sorted lists as one, where what has the same key is put together.
fn merged<T: Copy, K: Ord>(before: Vec<T>, after: Vec<T>, key: impl Fn(T) -> K, both: impl Fn(T, T) -> T) -> Vec<T> {
    if before.is_empty() {
        return after;
    }
    let mut all = before;
    all.extend(after);
    all.sort_by_key(|it| key(*it));
    all.dedup_by(|next, kept| {
        let is_same = key(*next) == key(*kept);
        if is_same {
            *kept = both(*kept, *next);
        }
        is_same
    });
    all
}

impl Covered {
    /// The larger of two sums of one file: what is in neither list can't be put together.
    fn or(self, other: Self) -> Self {
        let total = self.total.max(other.total);
        Self { covered: self.covered.max(other.covered).min(total), total }
    }

    /// Whether these are the `fewer`, some of them counted more than once: then no less of them has not run.
    fn is_seen_more_often_than(self, fewer: Self) -> bool {
        let not_run = |it: Self| it.total.checked_sub(it.covered);
        self.total >= fewer.total && not_run(self).is_some_and(|most| not_run(fewer).is_some_and(|least| most >= least))
    }
}

impl Record {
    /// `None` where the line lacks its figures.
    fn line(&mut self, keyword: &str, value: &str) -> Option<()> {
        match keyword {
            // Line, count and, seldom, a checksum.
            "DA" => {
                let (line, count) = value.split_once(',')?;
                let has_run = has_run(count.split(',').next()?)?;
                *self.lines.entry(number(line)?).or_default() |= has_run;
            }
            // Line, seldom the last line, and name: a name may hold commas, a line only digits.
            "FN" => {
                let (line, name) = value.split_once(',')?;
                let name = name.split_once(',').filter(|(end, _)| end.parse::<u64>().is_ok()).map_or(name, |it| it.1);
                self.starts.push((number(line)?, name.to_owned()));
            }
            "FNDA" => {
                let (count, name) = value.split_once(',')?;
                self.runs.entry(name.to_owned()).or_default().push(has_run(count)?);
            }
            "FNL" => {
                let mut fields = value.split(',');
                let (index, line) = (fields.next()?.parse().ok()?, number(fields.next()?)?);
                self.indexed.entry(index).or_default().0 = line;
            }
            "FNA" => {
                let mut fields = value.splitn(3, ',');
                let (index, count) = (fields.next()?.parse().ok()?, fields.next()?);
                self.indexed.entry(index).or_default().1 |= has_run(count)?;
            }
            _ => {
                if let Some(sum) = SUMS.iter().find(|sum| **sum == keyword) {
                    self.sums.insert(sum, value.parse().ok()?);
                }
            }
        }
        Some(())
    }

    /// A pair of the record's sums; `None` where the first is missing.
    fn told(&self, total: &str, covered: &str) -> Option<Covered> {
        let covered = self.sums.get(covered).copied();
        self.sums.get(total).map(|total| Covered { covered: covered.unwrap_or_default(), total: *total })
    }

    /// The lines, or the sums that are believed in their place.
    fn lines(&self, file: &str, may_be_llvm: bool, say: &mut impl FnMut(String)) -> (Vec<u32>, Covered) {
        let mut seen = Covered::default();
        self.lines.values().for_each(|has_run| seen.one(*has_run));
        if let Some(told) = self.told("LF", "LH").filter(|told| may_be_llvm && told.is_seen_more_often_than(seen)) {
            return (Vec::new(), told);
        }
        self.hold_sums("lines", [("LF", seen.total), ("LH", seen.covered)], file, say);
        let lines = self.lines.iter().map(|(line, has_run)| line << 1 | u32::from(*has_run));
        (lines.collect(), Covered::default())
    }

    /// The functions, or the sums that are believed in their place.
    fn functions(&self, file: &str, may_be_llvm: bool, say: &mut impl FnMut(String)) -> (Vec<(TestId, bool)>, Covered) {
        let told = self.told("FNF", "FNH");
        let is_listed = !self.starts.is_empty() || !self.runs.is_empty() || !self.indexed.is_empty();
        if let (Some(told), false) = (told, is_listed) {
            if told.covered > told.total {
                say(format!("`FNH` of `{file}` is {}, `FNF` {}", told.covered, told.total));
            }
            return (Vec::new(), Covered { covered: told.covered.min(told.total), total: told.total });
        }
        let occurrences = self.occurrences();
        let by_name = grouped(&occurrences, |it| it.name.map_or_else(|| it.id(), TestId::of));
        let by_line = grouped(&occurrences, |it| it.line.map_or_else(|| it.id(), |line| TestId::of(&line.to_string())));
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime, the key of any")]
        let each = grouped(&occurrences, |it| it.id());
        let agrees = |functions: &&BTreeMap<TestId, bool>| {
            let seen = counted(functions);
            let says = |sum, seen| self.sums.get(sum).is_none_or(|told| *told == seen);
            says("FNF", seen.total) && says("FNH", seen.covered)
        };
        let by_line_too = may_be_llvm.then_some(&by_line);
        if let Some(functions) = [&each, &by_name].into_iter().chain(by_line_too).find(agrees) {
            return (functions.iter().map(|(id, has_run)| (*id, *has_run)).collect(), Covered::default());
        }
        let (fewest, most) = (counted(&by_line), counted(&each));
        if let Some(told) = told
            .filter(|told| may_be_llvm && told.is_seen_more_often_than(fewest) && most.is_seen_more_often_than(*told))
        {
            return (Vec::new(), told);
        }
        self.hold_sums("functions", [("FNF", most.total), ("FNH", most.covered)], file, say);
        (each.into_iter().collect(), Covered::default())
    }

    /// Tells which sums are not what is seen.
    fn hold_sums(&self, what: &str, sums: [(&str, u64); 2], file: &str, say: &mut impl FnMut(String)) {
        for (sum, seen) in sums {
            if let Some(told) = self.sums.get(sum).filter(|told| **told != seen) {
                say(format!("`{sum}` of `{file}` is {told}, its {what} show {seen}"));
            }
        }
    }

    /// Each function that the record lists. The runs of a name belong to its functions in their order.
    fn occurrences(&self) -> Vec<Function<'_>> {
        let mut all: Vec<Function<'_>> = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut places: BTreeMap<(Option<u32>, &str), usize> = BTreeMap::new();
        let mut place = |line, name| {
            let count = places.entry((line, name)).or_default();
            *count += 1;
            *count
        };
        for (line, name) in &self.starts {
            let nth = seen.entry(name).or_default();
            let has_run = self.runs.get(name).and_then(|runs| runs.get(*nth)).copied().unwrap_or_default();
            *nth += 1;
            all.push(Function { line: Some(*line), name: Some(name), nth: place(Some(*line), name), has_run });
        }
        for (name, runs) in &self.runs {
            let rest = runs.get(seen.get(name.as_str()).copied().unwrap_or_default()..).unwrap_or_default();
            if !rest.is_empty() {
                // Runs of the same functions once more, or of one whose start is not told.
                let has_run = rest.contains(&true);
                match all.iter_mut().rfind(|it| it.name == Some(name)) {
                    Some(last) => last.has_run |= has_run,
                    None => all.push(Function { line: None, name: Some(name), nth: place(None, name), has_run }),
                }
            }
        }
        for (line, has_run) in self.indexed.values() {
            all.push(Function { line: Some(*line), name: None, nth: place(Some(*line), ""), has_run: *has_run });
        }
        all
    }
}

/// A function as a record lists it.
#[derive(Clone, Copy)]
struct Function<'a> {
    line: Option<u32>,
    name: Option<&'a str>,
    /// Which of those that share both, from 1.
    nth: usize,
    has_run: bool,
}

impl Function<'_> {
    fn id(&self) -> TestId {
        let Self { line, name, nth, .. } = self;
        TestId::of(&format!("{line:?} {name:?} {nth}"))
    }
}

/// The functions by what is one function; one ran where any part of it did.
fn grouped(functions: &[Function<'_>], key: impl Fn(&Function<'_>) -> TestId) -> BTreeMap<TestId, bool> {
    let mut groups = BTreeMap::new();
    for function in functions {
        *groups.entry(key(function)).or_default() |= function.has_run;
    }
    groups
}

fn counted(functions: &BTreeMap<TestId, bool>) -> Covered {
    let mut seen = Covered::default();
    for has_run in functions.values() {
        seen.one(*has_run);
    }
    seen
}

/// A line's number, from 0 to 2^31.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|line: &u32| *line < 1 << 31)
}

/// Whether a count is more than zero; `None` where it isn't one. Counts of merged runs may have a fraction.
fn has_run(count: &str) -> Option<bool> {
    count.parse::<f64>().ok().filter(|count| *count >= 0.0 && count.is_finite()).map(|count| count > 0.0)
}
