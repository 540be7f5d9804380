// The player: one stream that fills the page, its buttons and its keys.

import { listStreams } from './api.js';
import { offerControls } from './controls.js';
import { watchForFlaws } from './flaw.js';
import { Screen } from './screen.js';
import { StatsPanel } from './stats.js';
import { WhyPanel } from './why.js';

const GRACE_MS = 60_000; // a hidden tab keeps its session this long, so that a glance elsewhere costs no reconnect
const IDLE_MS = 2500; // without a move of the pointer for this long, the controls leave the picture alone

/** Fills `main` with the player of stream `name`. */
export function showPlayer(main, name) {
  document.title = name;
  main.replaceChildren(document.querySelector('#player').content.cloneNode(true));
  main.dataset.view = 'player';
  main.querySelector('.name').textContent = name;

  const screen = new Screen(main, name, GRACE_MS);
  const panel = new StatsPanel(
    main.querySelector('.stats'),
    () => screen.stats(),
    (shown) => { screen.isCurious = shown; },
  );
  const why = new WhyPanel(main.querySelector('.doctor'), () => screen.examine());
  const video = main.querySelector('video');
  const actions = {
    fullscreen: fullscreenAction(main, video),
    pip: pictureInPictureAction(video),
    why: () => {
      if (panel.shown) actions.stats();
      why.toggle();
    },
    stats: () => {
      why.toggle(false);
      panel.toggle();
      main.querySelector('[data-action=stats]').setAttribute('aria-pressed', panel.shown);
    },
    play: () => screen.play(),
  };

  bindButtons(main, actions);
  bindKeys(actions, panel, why);
  video.addEventListener('click', actions.play);
  video.addEventListener('dblclick', () => actions.fullscreen?.());
  hideControlsWhenIdle(main);
  offerWayBack(main, name);
  offerControls(main, name);
  watchForFlaws(main, name);
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

function bindKeys(actions, panel, why) {
  const keys = { f: actions.fullscreen, p: actions.pip, s: actions.stats };
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === 'Escape' && panel.shown) actions.stats(); // leaving fullscreen is the browser's
    else if (event.key === 'Escape' && why.shown) actions.why();
    else keys[event.key.toLowerCase()]?.();
  });
}

/** The whole page goes fullscreen, so that messages stay on the picture; an iPhone can do so with the video only. */
function fullscreenAction(main, video) {
  if (document.fullscreenEnabled) {
    return () => {
      const done = document.fullscreenElement ? document.exitFullscreen() : main.requestFullscreen();
      done.catch(() => {}); // refused by the embedding page
    };
  }
  return video.webkitEnterFullscreen ? () => video.webkitEnterFullscreen() : null;
}

function pictureInPictureAction(video) {
  if (!document.pictureInPictureEnabled) return null;
  return () => {
    const done = document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture();
    done.catch(() => {}); // there is no picture yet
  };
}

function hideControlsWhenIdle(main) {
  let timer;
  const busy = () => {
    main.removeAttribute('data-idle');
    clearTimeout(timer);
    timer = setTimeout(() => main.setAttribute('data-idle', ''), IDLE_MS);
  };
  for (const type of ['pointermove', 'pointerdown', 'keydown', 'focusin']) addEventListener(type, busy);
  busy();
}

/** Where there are other streams, the front page is worth going to. */
async function offerWayBack(main, name) {
  const streams = await listStreams().catch(() => []);
  main.querySelector('.home').hidden = streams.every((stream) => stream.name === name);
}

/** Where the certificate is the daemon's own, it can be had. */
async function offerTrust(main) {
  if (location.protocol !== 'https:') return;
  const response = await fetch('ca.crt', { method: 'HEAD' }).catch(() => null);
  main.querySelector('.trust').hidden = !response?.ok;
}
