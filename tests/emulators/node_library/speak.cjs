// Calls the library as a JSON document on stdin says, one call after the other:
//     {"token": …, "config": {…}, "account": [user, secret, project id], "calls": [[method, argument, …], …]}
// and prints one JSON list: for each call null, or what its callback was given or what it threw, as text.
const Mixpanel = require("mixpanel");

const told = (error) => (error == null ? null : [error].flat().map((one) => one.message).join("; "));

function call(client, [method, ...given]) {
  return new Promise((resolve) => {
    try {
      client[method](...given, (error) => resolve(told(error)));
    } catch (error) {
      resolve(told(error));
    }
  });
}

async function main() {
  const plan = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const config = { ...plan.config };
  if (plan.account) config.credentials = new Mixpanel.ServiceAccountCredentials(...plan.account);
  const client = Mixpanel.init(plan.token, config);
  const results = [];
  for (const one of plan.calls) results.push(await call(client, one));
  process.stdout.write(JSON.stringify(results), () => process.exit(0)); // it keeps connections open
}

main();
