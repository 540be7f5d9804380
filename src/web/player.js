// The player: one stream that fills the page, its buttons and its keys.

import { offerControls } from './controls.js';
import { watchForFlaws } from './flaw.js';
import { offerNeighbours } from './neighbours.js';
import { Panels } from './panel.js';
import { Screen } from './screen.js';
import { saveSnapshot } from './snapshot.js';
import { StatsPanel } from './stats.js';
import { WhyPanel } from './why.js';
import { titleOf } from './words.js';

const GRACE_MS = 60_000; // a hidden tab keeps its session this long, so that a glance elsewhere costs no reconnect
const IDLE_MS = 2500; // without a move of the pointer for this long, the controls leave the picture alone
const TOLD_MS = 4000; // how long a short message stands
const WITH_PICTURE = new Set(['playing', 'paused', 'stalled']); // states

/** Fills `main` with the player of stream `name`, until `signal` aborts. */
export function showPlayer(main, name, signal) {
  document.title = name;
  main.replaceChildren(document.querySelector('#player').content.cloneNode(true));
  main.dataset.view = 'player';
  main.querySelector('.name').textContent = name;

  const screen = new Screen(main, name, {
    signal,
    grace: GRACE_MS,
    onstatus: (status) => {
      document.title = titleOf(name, status);
      showWhatWorks(main);
      if (status.isMissing) main.dispatchEvent(new CustomEvent('missing', { detail: status }));
    },
  });
  const stats = new StatsPanel(main.querySelector('.stats'), () => screen.stats());
  const why = new WhyPanel(main.querySelector('.doctor'), () => screen.examine());
  const panels = new Panels(main, signal);
  panels.add('stats', {
    key: 's',
    onopen: () => { screen.isCurious = true; stats.show(); },
    onclose: () => { screen.isCurious = false; stats.hide(); },
  });
  panels.add('why', { onopen: () => why.show() });
  panels.add('keys', { key: '?' });
  signal.addEventListener('abort', () => stats.hide());

  const video = main.querySelector('video');
  const tell = teller(main);
  bindButtons(main, {
    fullscreen: fullscreenAction(main, video, signal),
    pip: pictureInPictureAction(main, video),
    snapshot: snapshotAction(main, name, tell),
    play: () => screen.play(),
  });
  showWhatWorks(main);
  bindKeys(main, tell, signal);
  video.addEventListener('click', () => screen.play());
  video.addEventListener('dblclick', () => buttonOf(main, 'fullscreen').click());
  hideControlsWhenIdle(main, signal);
  offerNeighbours(main, name, signal);
  offerControls(main, name, panels, signal);
  watchForFlaws(main, name, signal);
  offerTrust(main);
}

/** A button whose action this browser lacks is hidden. */
function bindButtons(main, actions) {
  for (const button of main.querySelectorAll('[data-action]')) {
    const action = actions[button.dataset.action];
    button.hidden = !action;
    button.addEventListener('click', action);
  }
}

function buttonOf(main, action) {
  return main.querySelector(`[data-action=${action}]`);
}

/** Without a picture there is nothing to save or to enlarge. What is on can be switched off at any time. */
function showWhatWorks(main) {
  const hasPicture = WITH_PICTURE.has(main.dataset.state);
  for (const action of ['snapshot', 'pip', 'fullscreen']) buttonOf(main, action).disabled = !hasPicture;
  if (document.fullscreenElement) buttonOf(main, 'fullscreen').disabled = false;
  if (document.pictureInPictureElement) buttonOf(main, 'pip').disabled = false;
}

/** Keys press the buttons, and so do nothing that a button does not offer. */
function bindKeys(main, tell, signal) {
  const press = (action) => () => buttonOf(main, action).click();
  const keys = {
    f: press('fullscreen'),
    p: press('pip'),
    i: press('snapshot'),
    g: () => main.querySelector('.home:not([hidden])')?.click(),
    c: () => { if (main.querySelector('.controls [data-panel=settings]').hidden) tell(noControls(main)); },
  };
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    keys[event.key.toLowerCase()]?.();
  }, { signal });
}

function noControls(main) {
  return WITH_PICTURE.has(main.dataset.state)
    ? 'This camera has no controls that you can set'
    : 'The camera’s controls are available while it works';
}

/** The whole page goes full screen, so that messages stay on the picture; an iPhone can do so with the video only. */
function fullscreenAction(main, video, signal) {
  if (!document.fullscreenEnabled) {
    return video.webkitEnterFullscreen ? () => video.webkitEnterFullscreen() : null;
  }
  const button = main.querySelector('[data-action=fullscreen]');
  const show = () => {
    const isOn = document.fullscreenElement === main;
    button.setAttribute('aria-label', isOn ? 'Leave full screen' : 'Full screen');
    button.title = `${isOn ? 'Leave full screen' : 'Full screen'} (f)`;
    showWhatWorks(main);
  };
  main.addEventListener('fullscreenchange', show, { signal });
  show();
  return () => {
    const done = document.fullscreenElement ? document.exitFullscreen() : main.requestFullscreen();
    done.catch(() => {}); // refused by the embedding page
  };
}

/** Images are on no video, so that there is nothing to take out of the page; the button is hidden then. */
function pictureInPictureAction(main, video) {
  if (!document.pictureInPictureEnabled) return null;
  const button = main.querySelector('[data-action=pip]');
  const show = () => button.setAttribute('aria-pressed', document.pictureInPictureElement === video);
  video.addEventListener('enterpictureinpicture', show);
  video.addEventListener('leavepictureinpicture', show);
  show();
  return () => {
    if (main.dataset.way === 'mjpeg') return;
    const done = document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture();
    done.catch(() => {}); // there is no picture yet
  };
}

/** Comes back with what shows a short message for a while. */
function teller(main) {
  const told = main.querySelector('.told');
  let timer;
  return (text) => {
    told.textContent = text;
    told.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(() => { told.hidden = true; }, TOLD_MS);
  };
}

function snapshotAction(main, name, tell) {
  return async () => {
    try {
      tell(`Saved as ${await saveSnapshot(name, main.querySelector('video'), main.querySelector('canvas'))}`);
    } catch {
      tell('There is no picture to save');
    }
  };
}

function hideControlsWhenIdle(main, signal) {
  let timer;
  const busy = () => {
    main.removeAttribute('data-idle');
    clearTimeout(timer);
    timer = setTimeout(() => main.setAttribute('data-idle', ''), IDLE_MS);
  };
  for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) addEventListener(type, busy, { signal });
  signal.addEventListener('abort', () => { clearTimeout(timer); main.removeAttribute('data-idle'); });
  busy();
}

/** Where the certificate is the daemon's own, it can be trusted. */
async function offerTrust(main) {
  if (location.protocol !== 'https:') return;
  const trust = main.querySelector('.trust'); // the page may be another by the time of the answer
  const response = await fetch('ca.crt', { method: 'HEAD' }).catch(() => null);
  trust.hidden = !response?.ok;
}
