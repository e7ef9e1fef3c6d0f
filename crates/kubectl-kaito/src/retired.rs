//! The lines of a plan about a retired instance type.

use instance_types::{InstanceType, dollars};

use crate::output::printable;

/// Says what is bought instead of the type that the Workspace names.
pub(crate) fn replacement(asked: &InstanceType, bought: &InstanceType) -> String {
    let since = asked
        .retired
        .as_ref()
        .map_or("", |retired| retired.since.as_str());
    let price = |found: &InstanceType| {
        let price = found.list_price.as_ref();
        price.map_or_else(|| "?".to_owned(), |price| dollars(price.usd_micros_per_hour))
    };
    format!(
        "{} is retired since {}.\n{} is bought instead, for ${} instead of ${} an hour.\n",
        printable(&asked.name),
        printable(since),
        printable(&bought.name),
        price(bought),
        price(asked)
    )
}
