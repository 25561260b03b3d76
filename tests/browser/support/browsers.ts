import { type Browser, chromium, firefox } from 'playwright-core';
import { findBrowser } from '../../../scripts/browser-setup.mjs';

/** Without the connections that a browser makes of its own accord. */
const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** WebGPU on the software adapter: right, and slow. */
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

/** Starts a headless Chromium. @throws where there is none: these tests fail rather than skip */
export async function startBrowser({ webgpu = false }: { webgpu?: boolean } = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: installed('chromium'),
    args: [...QUIET, ...(webgpu ? WEBGPU : ['--disable-gpu'])],
  });
}

/**
 * Starts a headless Firefox as Mozilla ships it, over WebDriver BiDi; without WebGPU, which some platforms have.
 * @param downloadsPath - Where it puts downloads. Playwright tells of none that begins without a navigation.
 * @throws where there is none
 */
export async function startFirefox(downloadsPath: string): Promise<Browser> {
  return firefox.launch({
    channel: 'moz-firefox',
    executablePath: installed('firefox'),
    firefoxUserPrefs: { 'dom.webgpu.enabled': false },
    downloadsPath,
  });
}

function installed(name: 'chromium' | 'firefox'): string {
  const path = findBrowser(name);
  if (!path) throw new Error(`no ${name}: run \`node scripts/browser-setup.mjs\``);
  return path;
}
