// Keeps the forming candle of a chart fresh while somebody looks at the page; when another begins, `refresh` fetches the one that has closed.

const TRIES = 3; // the closed candle is with us a moment after the next has begun

export function follow(chart, { forming: url, every }, refresh) {
  if (!url) return;
  let [last, tries] = [null, 0];
  const ask = async () => {
    const answer = document.hidden ? null : await fetch(url).then((found) => (found.ok ? found.json() : null), () => null);
    if (answer) chart.form(answer.candle);
    if (answer?.candle && answer.candle.time !== last) [last, tries] = [answer.candle.time, TRIES];
    if (tries > 0 && chart.isBehind()) {
      tries -= 1;
      refresh().catch(() => {});
    }
    setTimeout(ask, Number(every) * 1000);
  };
  ask();
}
