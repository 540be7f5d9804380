//! Whether letters can be read on whatever picture lies behind them, which axe-core can't tell, since it does not see through glass; and
//! whether fingers hit what they aim at.

use super::support::browser::Browser;
use serde_json::json;

/// Texts whose contrast with what lies behind is below 4.5:1 (WCAG 2.2, 1.4.3), with a black or a white picture behind glass.
const FAINT: &str = "
    const channels = (color) => {
      const [red, green, blue, alpha = 1] = color.match(/[\\d.]+/g).map(Number);
      return { rgb: [red, green, blue], alpha };
    };
    const over = ({ rgb, alpha }, under) => rgb.map((value, n) => alpha * value + (1 - alpha) * under[n]);
    const luminance = (rgb) => {
      const [red, green, blue] = rgb.map((value) => {
        const part = value / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (one, other) => {
      const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      return (bright + 0.05) / (dark + 0.05);
    };
    // What lies behind an element, the nearest first, up to a picture or the page's ground.
    const layers = (element) => {
      const found = [];
      for (let at = element; at; at = at.parentElement) {
        if (at.matches('main[data-view=player], main[data-view=front], .tile')) return [found, [[0, 0, 0], [255, 255, 255]]];
        const layer = channels(getComputedStyle(at).backgroundColor);
        if (layer.alpha > 0) found.push(layer);
        if (layer.alpha === 1) return [found, [[0, 0, 0]]];
      }
      return [found, [[255, 255, 255]]];
    };
    const isSeen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true })
      && element.getClientRects().length > 0;
    const faint = [];
    let count = 0;
    for (const element of document.querySelectorAll('body *')) {
      const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
      if (!text || !isSeen(element) || element.matches(':disabled, .elsewhere') || element.closest('.inactive')) continue;
      count += 1;
      const [glass, pictures] = layers(element);
      const ink = channels(getComputedStyle(element).color);
      for (const picture of pictures) {
        const ground = glass.reduceRight((under, layer) => over(layer, under), picture);
        const found = contrast(over(ink, ground), ground);
        if (found < 4.5) faint.push(`${element.className || element.localName} “${text.slice(0, 30)}”: ${found.toFixed(2)}`);
      }
    }
    return { faint, count };";

/// Checks all text that can be seen now.
pub async fn every_letter_can_be_read(browser: &Browser, what: &str) {
    let found = browser.run(FAINT, &[]).await;
    assert_eq!(found["faint"], json!([]), "{what}");
    assert!(found["count"].as_u64() > Some(0), "{what}: no text");
}

/// What a finger can't hit well: targets below 44 by 44 CSS pixels (WCAG 2.2, 2.5.5), but for links in a sentence. A box to tick has
/// its label as well.
const SMALL: &str = "
    const targets = document.querySelectorAll('button, a, select, summary, input');
    const isSeen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    return [...targets].filter((element) => isSeen(element) && !element.matches('.source a, .prose a')).flatMap((element) => {
      const label = element.type === 'checkbox' ? element.labels[0] : element;
      const { width, height } = label.getBoundingClientRect();
      const isLarge = Math.min(width, height) >= 43.9;
      return isLarge ? [] : [`${element.className || element.id || element.localName}: ${width} x ${height}`];
    })";

/// Checks all that can be tapped now.
pub async fn every_target_can_be_tapped(browser: &Browser, what: &str) {
    assert_eq!(browser.run(SMALL, &[]).await, json!([]), "{what}");
}
