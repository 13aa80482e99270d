//! `examples/aws`: the function, called as Lambda calls it, with the AWS SDK.

use serde_json::json;
use writ_core::http::Request;
use writ_tests::emulation::{Reply, header, listen, parameter};
use writ_tests::target::clock;
use writ_tests::{example, tools};

use crate::scene::{Mint, Scene};

#[test]
fn an_aws_function_fills_the_warehouse() {
    let scene = Scene::open();
    let (ended_well, said) = invoke(&scene);
    assert!(ended_well && said.contains("'sub': 'etl'"), "{said}");
    let claims = scene.served();
    assert_eq!(claims["sub"], "etl");
    assert_eq!(claims["aud"], "https://acme.snowflakecomputing.com");
    assert_eq!(claims["scope"], "query");
    assert_eq!(claims["call"], "POST /api/v2/statements");
    assert_eq!(claims["body"], r#"{"statement": "select 1"}"#);
}

#[test]
fn an_aws_function_with_another_role_does_not() {
    let scene = Scene::open();
    scene.mint.change("sub", "arn:aws:iam::123456789012:role/Other");
    let (ended_well, said) = invoke(&scene);
    assert!(!ended_well && said.contains("PermissionError"), "{said}");
    assert!(said.contains("invalid_grant"), "{said}");
    scene.assert_refused("rule_missing");
}

#[test]
fn the_emulated_aws_refuses_what_aws_would() {
    let mint = Scene::open().mint;
    let signed =
        format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/20261121/eu-central-1/sts/aws4_request");
    let ask = |authorization: &str, more: &str| {
        let form = "Action=GetWebIdentityToken&Version=2011-06-15&SigningAlgorithm=ES384";
        let headers = [("authorization", authorization), ("x-amz-security-token", "session")];
        let request = Request {
            method: "POST".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: format!("{form}{more}").into_bytes(),
            ..Request::default()
        };
        get_web_identity_token(&mint, &request).is_ok()
    };
    assert!(ask(&signed, "&Audience.member.1=a&DurationSeconds=300"));
    assert!(!ask("Bearer x", "&Audience.member.1=a&DurationSeconds=300"));
    assert!(!ask(&signed, "&DurationSeconds=300"));
    assert!(!ask(&signed, "&Audience.member.1=a&DurationSeconds=7200"));
    assert!(!ask(&signed, "&Audience.member.1=a&Version=2010-05-08"));
}

fn invoke(scene: &Scene) -> (bool, String) {
    let mint = scene.mint.clone();
    let sts = listen(move |request| {
        get_web_identity_token(&mint, request).unwrap_or_else(|why| Reply {
            status: 400,
            body: format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                 <Message>{why}</Message></Error></ErrorResponse>"
            ),
        })
    });
    let call = "import handler; print(handler.handler({'statement': 'select 1'}, None))";
    let mut python = tools::python();
    python.args(["-B", "-c", call]).current_dir(example::path("aws"));
    python.env("WRIT", &scene.writ).env("WAREHOUSE_API", &scene.api);
    // What Lambda sets, and where the SDK finds the service instead of at AWS.
    python.env("AWS_REGION", "eu-central-1").env("AWS_ENDPOINT_URL_STS", sts);
    python.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", "secret");
    python.env("AWS_SESSION_TOKEN", "session").env("AWS_EC2_METADATA_DISABLED", "true");
    python.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    tools::outcome(&mut python)
}

const KEY_ID: &str = "ASIAIOSFODNN7EXAMPLE";

/// `sts:GetWebIdentityToken` of a regional endpoint. That the request is signed is checked; the
/// signature itself is not.
fn get_web_identity_token(mint: &Mint, request: &Request) -> Result<Reply, String> {
    let field = |name: &str| parameter(&request.body, name);
    let expect = |what: &str, found: Option<String>, wanted: &[&str]| match found {
        Some(found) if wanted.contains(&found.as_str()) => Ok(found),
        other => Err(format!("{what} is {other:?}, expected one of {wanted:?}")),
    };
    expect("the method", Some(request.method.clone()), &["POST"])?;
    expect("the action", field("Action"), &["GetWebIdentityToken"])?;
    expect("the version", field("Version"), &["2011-06-15"])?;
    let signed = header(request, "authorization").unwrap_or_default();
    if !signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/"))
        || !signed.contains("/eu-central-1/sts/aws4_request")
    {
        return Err("the request is not signed for this region's STS".to_owned());
    }
    expect(
        "the session",
        header(request, "x-amz-security-token").map(str::to_owned),
        &["session"],
    )?;
    let algorithm = field("SigningAlgorithm");
    // The function's key is of this kind; AWS would sign RS256 as well.
    expect("the algorithm", algorithm, &["ES384"])?;
    let seconds = field("DurationSeconds").map_or(Ok(300), |text| text.parse::<i64>());
    let seconds = seconds.ok().filter(|seconds| (60..=3600).contains(seconds));
    let seconds = seconds.ok_or("the duration is not within 60 and 3600 seconds")?;
    let audience = field("Audience.member.1").ok_or("there is no audience")?;
    let now = clock();
    let mut claims = vec![("iat", json!(now)), ("exp", json!(now + seconds))];
    if let Some(second) = field("Audience.member.2") {
        claims.push(("aud", json!([audience, second])));
    }
    let token = mint.token("aws", "aws-outbound", &audience, &claims);
    Ok(Reply::ok(format!(
        "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetWebIdentityTokenResult><WebIdentityToken>{token}</WebIdentityToken>\
         <Expiration>2030-01-01T00:00:00Z</Expiration></GetWebIdentityTokenResult>\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
         </GetWebIdentityTokenResponse>"
    )))
}
