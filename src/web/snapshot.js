// Saves the picture as a file: the server's own image of it, or what the page shows where the server makes none.

import { jpegUrl, send } from './api.js';

const QUALITY = 0.92;

/** The file's name: the stream's and the local time, without characters that file systems refuse. Pure. */
export function fileName(name, time) {
  const two = (number) => String(number).padStart(2, '0');
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-');
  return `${name}-${day}-${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join('.')}.jpg`;
}

/**
 * Has the browser save the picture of stream `name`. Rejects if there is none.
 * @param {HTMLVideoElement} video
 * @param {HTMLCanvasElement} still lies over the video where it is shown
 */
export async function saveSnapshot(name, video, still) {
  const time = new Date();
  const image = await fromServer(name).catch(() => fromPage(video, still));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(image);
  link.download = fileName(name, time);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // browsers may read it after `click` returned
  return link.download;
}

async function fromServer(name) {
  return (await send(jpegUrl(name), { cache: 'no-store', signal: AbortSignal.timeout(3000) })).blob();
}

async function fromPage(video, still) {
  const source = still.hidden ? video : still;
  const [width, height] = still.hidden ? [video.videoWidth, video.videoHeight] : [still.width, still.height];
  if (!width || !height) throw new Error('There is no picture to save.');
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  canvas.getContext('2d').drawImage(source, 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('There is no picture to save.'))), 'image/jpeg', QUALITY);
  });
}
