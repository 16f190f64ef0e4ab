// A chart of closed candles with decision markers, entry, and the steps of stop and target. Colours come from the page's tokens.

const LC = window.LightweightCharts;
const TONES = { good: "--green", bad: "--red", warn: "--amber", quiet: "--fg3", info: "--blue" };

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  constructor(node, { onMarker = () => {} } = {}) {
    this.node = node;
    this.api = LC.createChart(node, { autoSize: true, layout: { attributionLogo: false }, timeScale: { timeVisible: true, secondsVisible: false } });
    this.candles = this.api.addSeries(LC.CandlestickSeries, {});
    this.stop = this.api.addSeries(LC.LineSeries, { lineType: LC.LineType.WithSteps, lineWidth: 2, priceLineVisible: false });
    this.target = this.api.addSeries(LC.LineSeries, { lineType: LC.LineType.WithSteps, lineWidth: 2, priceLineVisible: false });
    this.markers = LC.createSeriesMarkers(this.candles, []);
    this.entry = null;
    this.forming = null;
    this.api.subscribeClick((point) => point.hoveredObjectId && onMarker(String(point.hoveredObjectId)));
    new MutationObserver(() => this.colour()).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    this.colour();
  }

  colour() {
    const [green, red, line] = [token("--green"), token("--red"), token("--line")];
    this.api.applyOptions({
      layout: { background: { color: token("--panel") }, textColor: token("--fg2") },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    this.candles.applyOptions({ upColor: green, downColor: red, borderVisible: false, wickUpColor: green, wickDownColor: red });
    this.stop.applyOptions({ color: red });
    this.target.applyOptions({ color: green });
    if (this.data) this.draw(this.data, false);
  }

  // Whether the candle before the forming one is not drawn yet.
  isBehind() {
    const [before, last] = this.data?.candles.slice(-2) ?? [];
    return Boolean(this.forming && last && this.forming.time - last.time > last.time - before.time);
  }

  // The candle that is still open, in grey; it is gone as soon as the closed one is there.
  form(candle) {
    this.forming = candle;
    const last = this.data?.candles.at(-1)?.time;
    if (this.greyed !== undefined && this.greyed !== candle?.time) this.candles.setData(this.data.candles); // the one before is closed by now
    this.greyed = undefined;
    if (!candle || last === undefined || candle.time <= last) return;
    this.greyed = candle.time;
    this.node.dataset.forming = candle.time;
    const grey = token("--fg3");
    this.candles.update({ ...candle, color: grey, wickColor: grey, borderColor: grey });
  }

  draw(data, fit = true) {
    this.data = data;
    const lowest = data.candles.length ? Math.min(...data.candles.slice(-50).map((candle) => candle.low)) : 1;
    const precision = Math.min(8, Math.max(2, 4 - Math.floor(Math.log10(lowest))));
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    this.candles.setData(data.candles);
    const last = data.candles.at(-1)?.time;
    const extend = (steps) => (steps.length && last > steps.at(-1).time && !data.closed ? [...steps, { time: last, value: steps.at(-1).value }] : steps);
    this.stop.setData(extend(data.stops));
    this.target.setData(extend(data.targets));
    this.markers.setMarkers(data.markers.map((marker) => ({ ...marker, color: token(TONES[marker.tone] || "--fg3") })));
    if (this.entry) this.candles.removePriceLine(this.entry);
    this.entry = data.entry ? this.candles.createPriceLine({ price: data.entry, color: token("--blue"), lineStyle: LC.LineStyle.Dashed, title: "entry" }) : null;
    this.form(this.forming);
    if (fit) this.api.timeScale().setVisibleLogicalRange({ from: Math.max(0, data.candles.length - 120), to: data.candles.length + 4 });
  }
}

export class Curve {
  constructor(node, tone) {
    this.tone = tone;
    this.api = LC.createChart(node, { autoSize: true, layout: { attributionLogo: false }, timeScale: { timeVisible: true, secondsVisible: false } });
    this.line = this.api.addSeries(LC.BaselineSeries, { baseValue: { type: "price", price: 0 }, lineWidth: 2, priceLineVisible: false });
    new MutationObserver(() => this.colour()).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    this.colour();
  }

  colour() {
    const line = token("--line");
    this.api.applyOptions({
      layout: { background: { color: token("--panel") }, textColor: token("--fg2") },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    const [above, below] = [token(this.tone), token("--red")];
    this.line.applyOptions({ topLineColor: above, topFillColor1: `${above}33`, topFillColor2: `${above}08`, bottomLineColor: below, bottomFillColor1: `${below}08`, bottomFillColor2: `${below}33` });
  }

  draw(points) {
    this.line.setData(points);
    this.api.timeScale().fitContent();
  }
}
