/**
 * Makes sure that there is a Chromium for the browser tests: `TI_CHROMIUM`, one in a usual place, or Debian's package where that can
 * be installed. Ends with status 1 and says what to do where there is none.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];

/** Path of a Chromium on this machine, or undefined. */
export function findChromium() {
  const wanted = process.env.TI_CHROMIUM;
  return [...(wanted ? [wanted] : []), ...PLACES].find((path) => existsSync(path));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!findChromium() && existsSync('/usr/bin/apt-get')) {
    console.log('No Chromium here; installing the package of this system.');
    const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
    for (const step of [
      ['update', '-qq'],
      ['install', '-y', '-qq', '--no-install-recommends', 'chromium'],
    ]) {
      const [command, ...args] = [...sudo, 'apt-get', ...step];
      spawnSync(command, args, {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      });
    }
  }
  const found = findChromium();
  if (found) console.log(`Chromium: ${found}`);
  else {
    console.error(
      'The browser tests need a Chromium. Install it (Debian: apt-get install chromium), or name one in TI_CHROMIUM.',
    );
    process.exit(1);
  }
}
