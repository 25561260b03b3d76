/**
 * Makes sure that the browsers of the tests are there: those that `TI_CHROMIUM` and `TI_FIREFOX` name, those in the usual places, or
 * Debian's packages where they can be installed. Ends with status 1 and says what to do where one is missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const BROWSERS = {
  chromium: {
    variable: 'TI_CHROMIUM',
    debian: 'chromium',
    places: [
      '/usr/bin/chromium',
      '/usr/bin/chromium-browser',
      '/usr/bin/google-chrome',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
      'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
    ],
  },
  firefox: {
    variable: 'TI_FIREFOX',
    debian: 'firefox-esr',
    places: [
      '/usr/bin/firefox-esr',
      '/usr/bin/firefox',
      '/Applications/Firefox.app/Contents/MacOS/firefox',
      'C:\\Program Files\\Mozilla Firefox\\firefox.exe',
    ],
  },
};

/** Path of a browser on this machine, or undefined. */
export function findBrowser(name) {
  const { variable, places } = BROWSERS[name];
  const wanted = process.env[variable];
  return [...(wanted ? [wanted] : []), ...places].find((path) => existsSync(path));
}

function install(packages) {
  console.log(`No ${packages.join(' and no ')} here; installing what this system has.`);
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  for (const step of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...packages],
  ]) {
    const [command, ...args] = [...sudo, 'apt-get', ...step];
    spawnSync(command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const missing = Object.keys(BROWSERS).filter((name) => !findBrowser(name));
  if (missing.length > 0 && existsSync('/usr/bin/apt-get')) install(missing.map((name) => BROWSERS[name].debian));
  for (const [name, { variable, debian }] of Object.entries(BROWSERS)) {
    const found = findBrowser(name);
    if (found) console.log(`${name}: ${found}`);
    else {
      console.error(
        `The browser tests need ${name}. Install it (Debian: apt-get install ${debian}), or name one in ${variable}.`,
      );
      process.exitCode = 1;
    }
  }
}
