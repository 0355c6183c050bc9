//! Parts of points in time and of time spans.

use super::{Eval, Library, mismatch, zone};
use crate::error::{Error, Result};
use crate::value::{Timestamp, Value};

pub(super) fn register(library: &mut Library) {
    const TIME: &str = "(timestamp) -> int";
    const ZONED: &str = "(timestamp, string) -> int";
    let parts: [(&'static str, &str, Eval); 10] = [
        ("getFullYear", "year", |args| part(args, |t, o| t.civil(o).year)),
        ("getMonth", "month", |args| {
            part(args, |t, o| i64::from(t.civil(o).month) - 1)
        }),
        ("getDayOfYear", "day_of_year", |args| {
            part(args, |t, o| t.civil(o).day_of_year)
        }),
        ("getDayOfMonth", "day_of_month", |args| {
            part(args, |t, o| i64::from(t.civil(o).day) - 1)
        }),
        ("getDate", "day_of_month_1_based", |args| {
            part(args, |t, o| t.civil(o).day.into())
        }),
        ("getDayOfWeek", "day_of_week", |args| {
            part(args, |t, o| t.civil(o).weekday)
        }),
        ("getHours", "hours", |args| part(args, |t, o| t.civil(o).hour)),
        ("getMinutes", "minutes", |args| {
            part(args, |t, o| t.civil(o).minute)
        }),
        ("getSeconds", "seconds", |args| {
            part(args, |t, o| t.civil(o).second)
        }),
        ("getMilliseconds", "milliseconds", |args| {
            part(args, |t, _| t.milliseconds())
        }),
    ];
    for (name, id, eval) in parts {
        library.add_member(name, format!("timestamp_to_{id}"), TIME, eval);
        library.add_member(name, format!("timestamp_to_{id}_with_tz"), ZONED, eval);
    }
    const SPAN: &str = "(duration) -> int";
    library.add_member("getHours", "duration_to_hours", SPAN, |args| {
        whole(args, 3_600_000_000_000)
    });
    library.add_member("getMinutes", "duration_to_minutes", SPAN, |args| {
        whole(args, 60_000_000_000)
    });
    library.add_member("getSeconds", "duration_to_seconds", SPAN, |args| {
        whole(args, 1_000_000_000)
    });
    library.add_member("getMilliseconds", "duration_to_milliseconds", SPAN, |args| {
        whole(args, 1_000_000)
    });
}

fn part<'a>(args: &[Value<'a>], of: impl Fn(&Timestamp, i64) -> i64) -> Result<Value<'a>> {
    match args {
        [Value::Timestamp(time)] => Ok(Value::Int(of(time, 0))),
        [Value::Timestamp(time), Value::String(zone)] => {
            let offset = offset(zone, time).map_err(Error::new)?;
            Ok(Value::Int(of(time, offset)))
        }
        _ => mismatch(),
    }
}

/// A zone is a name, or hours and minutes such as `-08:00`.
fn offset(zone: &str, time: &Timestamp) -> std::result::Result<i64, String> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return zone::offset(zone, time.seconds());
    };
    let number = |text: &str| {
        text.parse::<i32>()
            .map_err(|_| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
    };
    let (hours, minutes) = (i64::from(number(hours)?), i64::from(number(minutes)?));
    let minutes = if zone.starts_with('-') { -minutes } else { minutes };
    Ok((hours * 60 + minutes) * 60)
}

fn whole<'a>(args: &[Value<'a>], unit: i64) -> Result<Value<'a>> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => mismatch(),
    }
}
