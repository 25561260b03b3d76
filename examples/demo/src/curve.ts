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
export function drawCurve(svg: SVGSVGElement, losses: readonly number[], mean: readonly number[], steps: number): void {
  const sorted = losses.toSorted((a, b) => a - b);
  const top = Math.max(1e-6, (sorted[Math.floor(sorted.length * 0.98)] ?? 1) * 1.15); // a rare spike must not flatten the rest
  const every = Math.ceil(losses.length / WIDTH); // more points than pixels only take time
  const pointsOf = (values: readonly number[]) =>
    values.flatMap((loss, i) => {
      if (i % every !== 0 && i !== values.length - 1) return [];
      const y = HEIGHT - Math.min(1, loss / top) * HEIGHT;
      return [`${(((i + 0.5) / steps) * WIDTH).toFixed(1)} ${y.toFixed(1)}`];
    });
  const line = pointsOf(mean).join('L');
  pathOf(svg, 'axis').setAttribute('d', `M0 ${HEIGHT}H${WIDTH}`);
  pathOf(svg, 'each').setAttribute(
    'd',
    pointsOf(losses)
      .map((point) => `M${point}h0`)
      .join(''),
  );
  pathOf(svg, 'mean').setAttribute('d', line && `M${line}`);
  const last = mean.at(-1);
  svg.setAttribute(
    'aria-label',
    last === undefined
      ? 'Loss per step'
      : `Loss per step; its running mean is ${last.toFixed(3)} after step ${losses.length}`,
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
