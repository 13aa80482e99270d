// For tests: the Workers that `wrangler.toml` files declare, in workerd, by Miniflare. Wrangler itself reads a
// file, as it does for `wrangler dev`, so that what is committed is what runs: compatibility date and flags,
// bindings, the classes and how they came to be (`migrations`), variables, the trigger.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const root = path.resolve(__dirname, '../../..');

// A package that `tests/tools/worker` installs.
function tool(name) {
  return require(need(path.join(root, '.tools/worker/node_modules', name), 'tests/tools/worker'));
}

// What DIRECTORY/wrangler.toml says: as options for Miniflare, and as Wrangler understood it.
function declared(directory) {
  const wrangler = tool('wrangler');
  const config = wrangler.unstable_readConfig({ config: path.join(directory, 'wrangler.toml') });
  // Where a file is named that is not there, this machine's own secrets (`.dev.vars`) have no part in a test.
  const read = wrangler.unstable_getMiniflareWorkerOptions(config, undefined, { envFiles: ['none'] });
  const build = path.relative(root, path.join(directory, config.build.command));
  const main = need(read.main, build);
  const options = {
    ...read.workerOptions,
    name: config.name,
    // Of what is imported there, `modulesRules` say what it is.
    scriptPath: main,
    modules: true,
    modulesRoot: path.dirname(main),
  };
  return { config, options };
}

// Starts Workers in workerd. It is a child of ours, and goes when its `dispose` says so.
function miniflare(options) {
  const { Miniflare, Log, LogLevel } = tool('miniflare');
  return new Miniflare({ host: '127.0.0.1', port: 0, cf: false, log: new Log(LogLevel.ERROR), ...options });
}

// The processor time of our child workerd, in milliseconds: user and system, all its threads.
function consumed() {
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let stat;
    try {
      stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    } catch {
      continue; // It has ended meanwhile.
    }
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (stat.includes('(workerd)') && Number(fields[1]) === process.pid) {
      return (Number(fields[11]) + Number(fields[12])) * 10; // Ticks of 10 ms.
    }
  }
  throw new Error('workerd does not run');
}

// Serves what `start` starts until our stdin ends; whoever kills us instead leaves workerd behind. `told` gets
// each line that comes before.
async function serve(start, told = () => {}) {
  let running;
  const ended = new Promise((resolve) => {
    process.on('SIGTERM', resolve).on('SIGINT', resolve);
    const lines = require('node:readline').createInterface({ input: process.stdin });
    lines.on('line', (line) => told(line, running)).on('close', resolve);
  });
  running = await start();
  await ended;
  await running.dispose();
}

// Runs a program to its end.
function run(program) {
  program().then(
    () => process.exit(),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

function need(file, command) {
  if (fs.existsSync(file)) return file;
  console.error(`${path.relative(root, file)} is missing: run \`${command}\``);
  process.exit(1);
}

module.exports = { root, tool, declared, miniflare, consumed, serve, run };
