//! Tests of the command line.

use admission::table::WeightSource;

use super::*;

fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(["preset-registry"].iter().chain(flags))
}

#[test]
fn a_certificate_takes_a_key_and_clients_take_a_certificate() {
    let (cert, key, ca) = ("--tls-cert-file=c", "--tls-key-file=k", "--tls-client-ca-file=a");
    for bad in [&[cert][..], &[key], &[ca], &[cert, ca]] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    let tls = parse(&[cert, key, ca]).unwrap().server_options().tls.unwrap();
    assert_eq!(tls.client_authorities, Some("a".into()));
    assert_eq!(parse(&[]).unwrap().server_options(), ServerOptions::default());
}

#[test]
fn encryption_and_callers_are_required_unless_given_up() {
    let check = |flags: &[&str]| {
        parse(flags)
            .unwrap()
            .check_access()
            .map_err(|error| error.to_string())
    };
    let own = "--ca-config-map=ns/ca";
    let (tokens, namespace) = ("--token-audience=a", "--access-namespace=ns");
    let (cert, key, ca) = ("--tls-cert-file=c", "--tls-key-file=k", "--tls-client-ca-file=a");
    for good in [
        &["--insecure"][..],
        &[own, tokens, namespace],
        &[cert, key, tokens, namespace],
        &[cert, key, ca],
    ] {
        assert_eq!(check(good), Ok(()), "{good:?}");
    }
    assert!(check(&[]).unwrap_err().contains("--ca-config-map"));
    assert!(
        check(&[tokens, namespace])
            .unwrap_err()
            .contains("--ca-config-map")
    );
    for bad in [&[own][..], &[cert, key]] {
        assert!(check(bad).unwrap_err().contains("--token-audience"), "{bad:?}");
    }
    for bad in [
        &["--insecure", own][..],
        &["--insecure", tokens, namespace],
        &[own, cert, key],
        &[tokens],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    let args = parse(&[
        own,
        tokens,
        namespace,
        "--tls-name=a.svc,b.svc",
        "--replica-name=pod-1",
    ])
    .unwrap();
    let options = args.authority_options().unwrap();
    assert_eq!((options.names.len(), options.replica.as_str()), (2, "pod-1"));
    assert!(parse(&["--replica-name=a/b"]).is_err() && parse(&["--certificate-lifetime-seconds=9"]).is_err());
}

#[test]
fn nothing_about_a_hub_without_an_endpoint() {
    assert!(parse(&["--hub-token-file=t"]).is_err() && parse(&["--hub-cache-dir=c"]).is_err());
    let args = parse(&["--hub-endpoint=https://h.co", "--hub-token-file=t"]).unwrap();
    let hub = args.server_options().hub.unwrap();
    assert_eq!(hub.redirect_hosts, ["*.hf.co", "*.huggingface.co"]);
    assert!(hub.token_file.is_some() && !hub.allow_private_endpoint && !hub.commits_only);
    assert!(parse(&["--hub-commits-only"]).is_err());
    let args = parse(&["--hub-endpoint=https://h.co", "--hub-commits-only"]).unwrap();
    assert!(args.server_options().hub.unwrap().commits_only);
}

#[test]
fn nothing_is_published_unless_told() {
    assert_eq!(parse(&[]).unwrap().publish_options(), None);
    assert!(parse(&["--publish-config-map=name"]).is_err());
    assert!(parse(&["--publish-config-map=a/b", "--publish-cloud=moon"]).is_err());
    let flags = [
        "--publish-config-map=a/b",
        "--publish-cloud=aws",
        "--hub-endpoint=https://h.co",
        "--weights-mirror",
    ];
    let options = parse(&flags).unwrap().publish_options().unwrap();
    assert_eq!(
        (options.table.cloud, options.table.unlisted, options.table.weights),
        (Cloud::Aws, Unlisted::MayBeOnHub, WeightSource::Mirror)
    );
    let options = parse(&flags[..1]).unwrap().publish_options().unwrap();
    assert_eq!(
        (options.table.cloud, options.table.unlisted, options.table.weights),
        (Cloud::Azure, Unlisted::Refused, WeightSource::Hub)
    );
}

#[test]
fn the_chart_passes_the_settings_of_verdicts() {
    let chart = include_str!("../../../../charts/kaito/templates/_helpers.tpl");
    let command = <Args as clap::CommandFactory>::command();
    let known: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let (_, settings) = chart.split_once("kaito.verdictArgs").unwrap();
    let flags = settings.lines().filter_map(|line| line.strip_prefix("- --"));
    let flags: Vec<&str> = flags.map(|rest| rest.split('=').next().unwrap()).collect();
    assert!(
        flags.len() >= 8 && flags.iter().all(|flag| known.contains(flag)),
        "{flags:?}"
    );
    let deployment = include_str!("../../../../charts/kaito/templates/preset-registry/deployment.yaml");
    assert!(deployment.contains("kaito.verdictArgs"));
    let args = parse(&[
        "--publish-config-map=a/b",
        "--base-image=acme/vllm:1",
        "--base-image-min-compute-capability=9.0",
        "--retired-instance-types=refuse",
        "--workspace-price-ceiling=7.5",
    ]);
    let table = args.unwrap().publish_options().unwrap().table;
    assert_eq!(table.engine.min_compute_capability, "9.0".parse().ok());
    assert!(table.engine.cuda_toolkit);
    assert_eq!(table.ceilings.workspace.usd_per_hour, "7.50".parse().ok());
}

#[test]
fn at_least_one_connection() {
    assert!(parse(&["--max-connections=0"]).is_err() && parse(&["--max-connections=x"]).is_err());
    assert_eq!(parse(&["--max-connections=7"]).unwrap().max_connections, 7);
}

#[test]
fn defaults_are_the_documented_ports() {
    let args = Args::parse_from(["preset-registry"]);
    let addresses = [
        args.grpc_bind_address,
        args.admin.metrics_bind_address,
        args.admin.health_probe_bind_address,
    ];
    assert_eq!(addresses.map(|address| address.port()), [50051, 8080, 8081]);
}

#[test]
fn a_bad_address_is_refused() {
    assert!(Args::try_parse_from(["preset-registry", "--grpc-bind-address", "localhost"]).is_err());
}
