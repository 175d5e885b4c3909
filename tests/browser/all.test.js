// The pages of a Naru that was started on an empty folder a moment ago, in the order in which a person meets them. Each
// file owns one subject; later ones rely on what earlier ones made.

import { after } from 'node:test';

import { stopBrowser } from './lib/browser.js';

import './flows/first-start.js';
import './flows/delivery.js';
import './flows/every-page.js';
import './flows/keyboard.js';
import './flows/no-script.js';

after(stopBrowser);
