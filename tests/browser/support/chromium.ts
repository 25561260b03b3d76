import { type Browser, chromium } from 'playwright-core';
import { findChromium } from '../../../scripts/browser-setup.mjs';

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
  const executablePath = findChromium();
  if (!executablePath) throw new Error('no Chromium: run `node scripts/browser-setup.mjs`');
  return chromium.launch({ executablePath, args: [...QUIET, ...(webgpu ? WEBGPU : ['--disable-gpu'])] });
}
