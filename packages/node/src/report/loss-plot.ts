/** A loss and the step it belongs to. */
export interface LossPoint {
  readonly step: number;
  readonly loss: number;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [760, 280, 56, 34, 12];
/** Share of the run that one point of the smooth line looks at. */
const WINDOW_SHARE = 0.08;

/** The loss over the steps as an SVG: every step as a dot, and a running mean, because one step's loss is mostly the timestep it drew. */
export function lossPlot(points: readonly LossPoint[]): string {
  const first = points[0]?.step ?? 0;
  const last = Math.max(first + 1, points.at(-1)?.step ?? 1);
  const losses = points.map(({ loss }) => loss).toSorted((a, b) => a - b);
  const top = (losses[Math.floor(losses.length * 0.98)] ?? 1) * 1.1 || 1;
  const x = (step: number) => round(LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - 12));
  const y = (loss: number) => round(HEIGHT - BOTTOM - (Math.min(loss, top) / top) * (HEIGHT - BOTTOM - TOP));
  const dots = points.map(({ step, loss }) => `<circle cx="${x(step)}" cy="${y(loss)}" r="1.6"/>`).join('');
  const line = smooth(points)
    .map(({ step, loss }) => `${x(step)},${y(loss)}`)
    .join(' ');
  const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top);
  const decimals = Math.max(0, 1 - Math.floor(Math.log10(top))); // two digits of the highest
  const rules = levels
    .map(
      (loss) =>
        `<line x1="${LEFT}" x2="${WIDTH - 12}" y1="${y(loss)}" y2="${y(loss)}"/><text x="${LEFT - 8}" y="${y(loss) + 4}" text-anchor="end">${loss.toFixed(decimals)}</text>`,
    )
    .join('');
  const ticks = [0, 0.25, 0.5, 0.75, 1]
    .map((share) => Math.round(first + share * (last - first)))
    .map((step, i) => `<text x="${x(step)}" y="${HEIGHT - 12}" text-anchor="middle">${i ? '' : 'step '}${step}</text>`)
    .join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Loss over ${last} steps" font-family="system-ui, sans-serif" font-size="11" fill="#8a8a8a"><g stroke="#8a8a8a" stroke-opacity="0.25">${rules.replaceAll('<text', '<text stroke="none"')}</g>${ticks}<g fill="#7c6cf0" fill-opacity="0.28">${dots}</g><polyline points="${line}" fill="none" stroke="#7c6cf0" stroke-width="2.2" stroke-linejoin="round"/></svg>`;
}

function smooth(points: readonly LossPoint[]): LossPoint[] {
  const reach = Math.max(2, Math.round(points.length * WINDOW_SHARE));
  return points.map(({ step }, i) => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1);
    return { step, loss: near.reduce((sum, { loss }) => sum + loss, 0) / near.length };
  });
}

const round = (value: number): number => Math.round(value * 10) / 10;
