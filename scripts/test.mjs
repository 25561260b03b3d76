/**
 * `npm test`: installs and builds what is missing, then checks form, types and arrows and runs every test.
 * `npm test -- unit parity` runs those projects alone, without the checks.
 * With TI_PYTHON set to a Python that has torch, the files we write are also read there.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, install, root, run } from './setup.mjs';

const asked = process.argv.slice(2);
const everything = [
  'unit',
  'parity',
  'system',
  'packaging',
  'browser',
  ...(process.env['TI_PYTHON'] ? ['python'] : []),
];
const projects = asked.length > 0 ? asked : everything;
install(19); // the packages run on 20.9, the tools that test them do not
build();
if (asked.length === 0) run('Checking format, lint, types and import arrows', 'npm', ['run', '--silent', 'check']);
if (projects.includes('browser') || projects.includes('packaging')) {
  run('Looking for the browsers', process.execPath, ['scripts/browser-setup.mjs']);
}

const report = 'node_modules/.test-report.json';
const args = ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
rmSync(join(root, report), { force: true }); // an old one would speak for tests that did not run
const { status } = spawnSync('npx', [...args, ...projects.flatMap((name) => ['--project', name])], {
  cwd: root,
  stdio: 'inherit',
  shell: process.platform === 'win32',
});
const { numPassedTests, numFailedTests, numTotalTests } = JSON.parse(readFileSync(join(root, report), 'utf8'));
const skipped = numTotalTests - numPassedTests - numFailedTests;
if (skipped > 0) console.log(`\n${skipped} skipped: the suite has no tests to skip, so this counts as a failure.`);
console.log(`\n${numPassedTests} passed, ${numFailedTests + skipped} failed`);
process.exitCode = status || (skipped > 0 || numTotalTests === 0 ? 1 : 0);
