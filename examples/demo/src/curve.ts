const [WIDTH, HEIGHT] = [600, 180];
/** Steps that the running mean looks back on. */
const MEMORY = 20;

/** Running mean of losses, as the line shows it. */
export function smoothed(losses: readonly number[]): number[] {
  let mean = 0;
  let weight = 0;
  return losses.map((loss) => {
    mean = mean * (1 - 1 / MEMORY) + loss / MEMORY;
    weight = weight * (1 - 1 / MEMORY) + 1 / MEMORY;
    return mean / weight;
  });
}

/** Draws losses as dots and their running mean as a line. */
export function drawCurve(svg: SVGSVGElement, losses: readonly number[], steps: number): void {
  const known = losses.filter((loss) => Number.isFinite(loss));
  const sorted = known.toSorted((a, b) => a - b);
  const top = Math.max(1e-6, (sorted[Math.floor(sorted.length * 0.98)] ?? 1) * 1.15); // a rare spike must not flatten the rest
  const x = (step: number) => ((step + 0.5) / steps) * WIDTH;
  const y = (loss: number) => HEIGHT - Math.min(1, loss / top) * HEIGHT;
  const dots = known.map((loss, i) => `M${x(i).toFixed(1)} ${y(loss).toFixed(1)}h0`).join('');
  const line = smoothed(known)
    .map((loss, i) => `${i === 0 ? 'M' : 'L'}${x(i).toFixed(1)} ${y(loss).toFixed(1)}`)
    .join('');
  pathOf(svg, 'axis').setAttribute('d', `M0 ${HEIGHT}H${WIDTH}`);
  pathOf(svg, 'each').setAttribute('d', dots);
  pathOf(svg, 'mean').setAttribute('d', line);
  const last = smoothed(known).at(-1);
  svg.setAttribute(
    'aria-label',
    last === undefined
      ? 'Loss per step'
      : `Loss per step; its running mean is ${last.toFixed(3)} after step ${known.length}`,
  );
}

function pathOf(svg: SVGSVGElement, className: string): Element {
  const found = svg.querySelector(`.${className}`);
  if (found) return found;
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('class', className);
  svg.append(path);
  return path;
}
