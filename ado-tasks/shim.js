// The one shim behind every task: Azure DevOps starts tasks with Node, the product is Python.
//
// It turns the task's inputs into GATES_* variables, builds or finds the environment (setup.py, the same as for the
// GitHub actions), starts `python -I -m gates VERB` and hands on SIGINT and SIGTERM. What is said, the outputs and the
// result come from Python; the shim speaks only where Python cannot.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const tl = require('azure-pipelines-task-lib/task'); // on loading it takes INPUT_*, ENDPOINT_AUTH_* and SECRET_* out of the environment

const CONNECTION = 'azureSubscription';
const task = JSON.parse(fs.readFileSync(path.join(__dirname, 'task.json'), 'utf8'));
const verb = words(task.name).slice(1).join('-'); // MlopsValidateGate: validate-gate

function words(name) {
  return name.replace(/([A-Z])/g, '-$1').toLowerCase().split('-').filter(Boolean);
}

function environment() {
  const env = { ...process.env, GATES_STEP: verb };
  for (const input of task.inputs) {
    // Every declared input, also when empty: what a pipeline variable of that name says does not count here.
    if (input.name !== CONNECTION) env[`GATES_${words(input.name).join('_').toUpperCase()}`] = tl.getInput(input.name) || '';
  }
  if (verb === 'comment') env.GATES_TOKEN = accessToken();
  connect(env);
  return env;
}

function accessToken() {
  return tl.getEndpointAuthorizationParameter('SYSTEMVSSCONNECTION', 'AccessToken', true) || '';
}

// The names that azure-identity and Microsoft's own tasks use. A token for the connection is asked for by Python itself,
// and again when it runs out: a deployment lasts longer than one.
function connect(env) {
  const id = task.inputs.some((input) => input.name === CONNECTION) ? tl.getInput(CONNECTION) : '';
  if (!id) return;
  const given = (name) => tl.getEndpointAuthorizationParameter(id, name, true) || '';
  const scheme = (tl.getEndpointAuthorizationScheme(id, true) || '').toLowerCase();
  const subscription = tl.getEndpointDataParameter(id, 'SubscriptionID', true);
  if (subscription && !env.AZURE_SUBSCRIPTION_ID) env.AZURE_SUBSCRIPTION_ID = subscription;
  if (scheme === 'workloadidentityfederation') {
    env.AZURESUBSCRIPTION_SERVICE_CONNECTION_ID = id;
    env.AZURESUBSCRIPTION_CLIENT_ID = given('serviceprincipalid');
    env.AZURESUBSCRIPTION_TENANT_ID = given('tenantid');
    env.SYSTEM_ACCESSTOKEN = accessToken();
    env.SYSTEM_OIDCREQUESTURI = env.SYSTEM_OIDCREQUESTURI || oidcRequestUri(env);
  } else if (scheme === 'serviceprincipal') {
    env.AZURE_CLIENT_ID = given('serviceprincipalid');
    env.AZURE_TENANT_ID = given('tenantid');
    env.AZURE_CLIENT_SECRET = given('serviceprincipalkey');
  } else if (scheme !== 'managedserviceidentity') {
    throw new Error(`${CONNECTION}: a service connection of the kind '${scheme}' is not supported; use workload identity federation`);
  }
}

function oidcRequestUri(env) {
  const collection = env.SYSTEM_COLLECTIONURI || env.SYSTEM_TEAMFOUNDATIONCOLLECTIONURI || '';
  return `${collection}${env.SYSTEM_TEAMPROJECTID}/_apis/distributedtask/hubs/build/plans/${env.SYSTEM_PLANID}/jobs/${env.SYSTEM_JOBID}/oidctoken`;
}

// One process at a time; a signal to us is a signal to it, and we wait for its end: it has a deployment to leave in order.
function run(command, args, env, stdout) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', stdout, 'inherit'] });
    const hand = (signal) => child.kill(signal);
    const said = [];
    if (child.stdout) child.stdout.on('data', (chunk) => said.push(chunk));
    process.on('SIGINT', hand).on('SIGTERM', hand);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      process.off('SIGINT', hand).off('SIGTERM', hand);
      resolve({ code, signal, text: Buffer.concat(said).toString('utf8').trim() });
    });
  });
}

async function main() {
  const python = tl.which('python3') || tl.which('python');
  if (!python) throw new Error('no python3 on PATH; put the task UsePythonVersion@0 before this one');
  const env = environment();
  const setup = [path.join(__dirname, 'library', 'actions', 'setup', 'setup.py')];
  if (verb === 'setup') return run(python, ['-I', ...setup], env, 'inherit');
  const made = await run(python, ['-I', ...setup, '--print'], env, 'pipe');
  if (made.code !== 0) return made;
  return run(made.text, ['-I', '-m', 'gates', verb], env, 'inherit');
}

main()
  .then(({ code, signal }) => {
    if (code !== 0) tl.command('task.complete', { result: 'Failed' }, signal ? `ended by ${signal}` : `exit code ${code}`);
  })
  .catch((error) => tl.setResult(tl.TaskResult.Failed, error.message));
