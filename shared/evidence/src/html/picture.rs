//! The timeline as a picture: a bar a step, from when the promotion started to when it ended.

use gatekeeper_promotion::step::{Direction, ReportStatus};

use crate::model::Event;

/// Where bars begin: names stand before.
const LEFT: f64 = 170.0;
/// Where they end at the latest: labels stand behind.
const RIGHT: f64 = 800.0;
/// The whole picture.
const WIDTH: f64 = 900.0;
/// A row's height.
const ROW: f64 = 28.0;
/// A bar can be seen from this width on.
const LEAST: f64 = 3.0;

/// A picture in SVG's units.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Where the axis' lines end.
    pub(super) axis_y: f64,
    /// Where its labels stand.
    pub(super) tick_y: f64,
    /// What it shows, in words.
    pub(super) text: String,
    pub(super) ticks: Vec<Tick>,
    pub(super) bars: Vec<Bar>,
}

/// A moment on the axis.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
}

/// A step.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Where its texts stand.
    pub(super) text_y: f64,
    pub(super) width: f64,
    pub(super) label: String,
    pub(super) label_x: f64,
    /// Whether the label stands before the bar, because there is no room behind.
    pub(super) label_left: bool,
    pub(super) failed: bool,
}

impl Picture {
    /// The steps of a timeline that have ended; `None` where no step has ended.
    pub(super) fn of(timeline: &[Event]) -> Option<Self> {
        let steps: Vec<_> =
            timeline.iter().filter_map(|event| Some((event, event.direction?, event.ended_at?))).collect();
        let begin = steps.iter().map(|(event, ..)| event.started_at).min()?;
        let end = steps.iter().map(|(_, _, ended)| *ended).max()?;
        let whole = end.duration_since(begin).as_secs_f64().max(0.001);
        let at = |seconds: f64| round(LEFT + seconds / whole * (RIGHT - LEFT));

        let (mut bars, mut told, mut y) = (Vec::new(), Vec::new(), 8.0);
        for (event, direction, ended) in steps {
            let (from, took) = (
                event.started_at.duration_since(begin).as_secs_f64(),
                ended.duration_since(event.started_at).as_secs_f64().max(0.0),
            );
            let failed = event.status == Some(ReportStatus::Failed);
            let name = match direction {
                Direction::Forward => event.name.clone(),
                Direction::Back => format!("{}, back", event.name),
            };
            let (x, end_x) = (at(from), at(from + took));
            let width = round((end_x - x).max(LEAST));
            let label_left = x + width > RIGHT - 60.0 && x - LEFT > 110.0;
            let label = format!("{took:.1} s{}", if failed { ", failed" } else { "" });
            told.push(format!("{name} from {from:.1} s on, {label}"));
            let label_x = if label_left { x - 6.0 } else { x + width + 6.0 };
            bars.push(Bar { name, x, y, text_y: y + 15.0, width, label, label_x: round(label_x), label_left, failed });
            y += ROW;
        }
        let ticks = (0..=4_u8).map(|quarter| {
            let seconds = whole * f64::from(quarter) / 4.0;
            Tick { x: at(seconds), label: format!("{seconds:.1} s") }
        });
        let height = y + 22.0;
        Some(Self {
            width: WIDTH,
            height,
            axis_y: height - 20.0,
            tick_y: height - 5.0,
            text: told.join("; "),
            ticks: ticks.collect(),
            bars,
        })
    }
}

/// To a tenth: more is not seen, and makes the page longer.
fn round(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}
