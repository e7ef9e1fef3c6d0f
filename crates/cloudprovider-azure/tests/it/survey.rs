//! Instance types and quotas of the subscription, over real HTTP.

use arm_server::ArmServerConfig;
use arm_server::control::{Action, Behavior, FaultRule, Named, OfferingRule, Verb};
use cloudprovider::{CloudProvider as _, ErrorClass, OfferedType, Quota, Rate, RateLimits};
use cloudprovider_azure::{AzureArgs, Settings};

use crate::harness::{SIZE, Stage, brief, spec};

fn size<'a>(types: &'a [OfferedType], name: &str) -> &'a OfferedType {
    types.iter().find(|found| found.name == name).unwrap()
}

#[tokio::test]
async fn the_lists_agree_with_what_the_cloud_refuses() {
    let rule = |zone: Option<&str>, vm_size: &str| OfferingRule {
        vm_size: vm_size.to_owned(),
        zone: zone.map(str::to_owned),
        error: Named::SkuRestricted,
        at_once: true,
        ..OfferingRule::default()
    };
    let stage = Stage::behaving(Behavior {
        quota: [(SIZE.to_owned(), 30)].into(),
        spot_quota: Some(8),
        offerings: vec![rule(None, "Standard_NC40ads_H100_v5"), rule(Some("2"), SIZE)],
        // Both lists have several pages.
        page_size: Some(3),
        ..Behavior::quick(0)
    })
    .await;
    let types = stage.provider.offered_types().await.unwrap();
    let a100 = size(&types, SIZE);
    assert_eq!((a100.vcpus, a100.gpus, &a100.restriction), (24, 1, &None));
    assert_eq!(a100.zones, ["1", "3"]);
    let h100 = size(&types, "Standard_NC40ads_H100_v5");
    assert_eq!(h100.restriction.as_deref(), Some("NotAvailableForSubscription"));
    assert_eq!(size(&types, "Standard_D8s_v5").gpus, 0);
    assert!(types.len() > 20 && types.iter().all(|found| found.name != "Premium_LRS"));

    let family = a100.family.to_lowercase();
    let before = stage.provider.quotas().await.unwrap();
    assert_eq!(
        (before.region.as_str(), before.spot),
        ("eastus", Some(Quota { limit: 8, used: 0 }))
    );
    assert_eq!(before.families[&family], Quota { limit: 30, used: 0 });
    stage.provider.create(&spec("a")).await.unwrap();
    let after = stage.provider.quotas().await.unwrap();
    assert_eq!(after.families[&family], Quota { limit: 30, used: 24 });
    assert_eq!(after.on_demand.map(|quota| quota.used), Some(24));
    assert_eq!(stage.refused("b").await.class, ErrorClass::Quota);
}

#[tokio::test]
async fn the_region_is_read_from_the_cluster_unless_it_is_set() {
    let config = ArmServerConfig {
        location: "westeurope".to_owned(),
        ..ArmServerConfig::default()
    };
    let stage = Stage::with(Behavior::quick(0), config).await;
    assert_eq!(stage.provider.quotas().await.unwrap().region, "westeurope");
    stage.provider.offered_types().await.unwrap();
    let counters = stage.control.counters().await.unwrap();
    assert_eq!(counters.by_verb[&Verb::Cluster], 1);
    let named = AzureArgs {
        location: "West Europe".to_owned(),
        ..stage.args.clone()
    };
    let provider = named.provider().unwrap();
    assert!(!provider.offered_types().await.unwrap().is_empty());
    assert_eq!(stage.control.counters().await.unwrap().by_verb[&Verb::Cluster], 1);
}

#[tokio::test]
async fn a_missing_right_is_an_error_of_its_class() {
    let stage = Stage::new().await;
    for verb in [Verb::Skus, Verb::Usages] {
        stage
            .fault(FaultRule::once(verb, Action::respond(Named::Forbidden)))
            .await;
    }
    assert_eq!(
        stage.provider.offered_types().await.unwrap_err().class,
        ErrorClass::Unauthorized
    );
    assert_eq!(
        stage.provider.quotas().await.unwrap_err().class,
        ErrorClass::Unauthorized
    );
    assert!(stage.provider.quotas().await.is_ok());
}

#[tokio::test]
async fn surveys_yield_to_everything_else() {
    let stage = Stage::new().await;
    let limits = RateLimits {
        reads: Rate {
            burst: 6.0,
            per_second: 0.001,
        },
        reserve: 0.0,
        ..RateLimits::default()
    };
    let settings = Settings {
        limits: Some(limits),
        ..Settings::default()
    };
    let provider = stage.provider_with(settings);
    // One read is spent for the region.
    provider.quotas().await.unwrap();
    provider.list().await.unwrap();
    provider.quotas().await.unwrap();
    provider.get("none").await.unwrap_err();
    let error = provider.quotas().await.unwrap_err();
    assert_eq!(brief(&error), (ErrorClass::LocallyLimited, "LocalRateLimit"));
    assert!(provider.list().await.is_ok(), "the other half is for instances");
}

#[tokio::test]
async fn a_throttled_survey_closes_nothing_else() {
    let stage = Stage::new().await;
    let provider = stage.provider_with(Settings::default());
    let action = Action::Respond {
        error: Named::Throttled,
        retry_after: Some(60),
        apply: false,
    };
    stage.fault(FaultRule::once(Verb::Usages, action)).await;
    assert_eq!(provider.quotas().await.unwrap_err().class, ErrorClass::Throttled);
    assert_eq!(provider.offered_types().await.unwrap_err().code, "LocalRateLimit");
    assert!(provider.list().await.is_ok() && provider.create(&spec("a")).await.is_ok());
    assert_eq!(
        stage.control.counters().await.unwrap().by_verb.get(&Verb::Skus),
        None
    );
}
