import { type LossPoint, lossPlot } from './loss-plot.js';

/** What the page shows. */
export interface ReportContents {
  readonly token: string;
  readonly model: string;
  readonly backend: string;
  /** Pictures as PNG files, with what is under them. */
  readonly training: readonly LabelledPng[];
  readonly previews: readonly LabelledPng[];
  readonly previewPrompt: string;
  readonly losses: readonly LossPoint[];
  /** Name and value, shown as they are. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** One sentence: where the concept is, or how to go on. */
  readonly outcome: string;
}

export interface LabelledPng {
  readonly label: string;
  readonly png: Uint8Array;
}

/** One page without any reference to the network: pictures, the loss and the settings of a training. */
export function reportHtml({
  token,
  model,
  backend,
  training,
  previews,
  previewPrompt,
  losses,
  settings,
  outcome,
}: ReportContents): string {
  const figure = ({ label, png }: LabelledPng) =>
    `<figure><img alt="${escape(label)}" src="data:image/png;base64,${Buffer.from(png).toString('base64')}"><figcaption>${escape(label)}</figcaption></figure>`;
  const rows = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) =>
        `<tr><th scope="row">${escape(name)}</th><td>${escape(typeof value === 'string' ? value : JSON.stringify(value))}</td></tr>`,
    )
    .join('');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${escape(token)} · textual inversion</title>
<style>
:root { color-scheme: light dark; --ink: light-dark(#1d1b26, #eceaf4); --soft: light-dark(#6b6878, #a19eb0); --ground: light-dark(#faf9f7, #15141b); --card: light-dark(#fff, #1e1c27); --line: light-dark(#e6e3dd, #2f2c3b); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 3rem 1.25rem 5rem; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: clamp(2rem, 6vw, 3.2rem); line-height: 1.1; margin: 0 0 .4rem; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 3rem 0 1rem; }
p { color: var(--soft); margin: 0; overflow-wrap: anywhere; } .prompt { margin-bottom: .6rem; }
.strip { display: flex; flex-wrap: wrap; gap: .75rem; } .strip figure { width: 8.5rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .82rem; margin-top: .35rem; }
.strip img { width: 8.5rem; height: 8.5rem; object-fit: contain; } .previews figure { margin-bottom: 1.5rem; } .previews img { max-width: 100%; }
img { image-rendering: pixelated; border-radius: .5rem; background: var(--card); border: 1px solid var(--line); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem; overflow-x: auto; } svg { display: block; width: 100%; min-width: 34rem; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; } th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 500; color: var(--soft); width: 14rem; } td { overflow-wrap: anywhere; }
</style>
<h1>${escape(token)}</h1>
<p>${escape(outcome)}</p>
<p>${escape(model)} · ${escape(backend)}</p>
<h2>Learned from</h2>
<div class="strip">${training.map(figure).join('')}</div>
<h2>Loss</h2>
<div class="card">${lossPlot(losses)}</div>
<h2>On the way</h2>
<p class="prompt">${escape(previewPrompt)}</p>
<div class="previews">${previews.toReversed().map(figure).join('')}</div>
<h2>Settings</h2>
<div class="card"><table>${rows}</table></div>
</html>
`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
