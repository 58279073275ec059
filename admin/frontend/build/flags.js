// Makes the flags that stand beside countries, ../../static/flags.svg: a symbol a country, named by its code of ISO 3166.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const packed = dirname(createRequire(import.meta.url).resolve("country-flag-icons/package.json"));
const folder = join(packed, "3x2");
const symbols = [];
for (const file of readdirSync(folder).sort()) {
  const code = /^([A-Z]{2})\.svg$/.exec(file)?.[1];
  if (!code) continue;
  const [, box, shapes] = /<svg[^>]* viewBox="([^"]+)"[^>]*>(.*)<\/svg>/s.exec(readFileSync(join(folder, file), "utf8"));
  symbols.push(`<symbol id="${code}" viewBox="${box}" preserveAspectRatio="xMidYMid slice">${shapes.trim()}</symbol>`);
}
const licence = readFileSync(join(packed, "LICENSE"), "utf8").trim();
const text = `<svg xmlns="http://www.w3.org/2000/svg">\n<!-- country-flag-icons\n${licence.replaceAll("--", "- -")}\n-->\n${symbols.join("\n")}\n</svg>\n`;
writeFileSync(new URL("../../static/flags.svg", import.meta.url), text);
