// Buttons that may be pressed again after a while (data-wait, seconds) count down until then. Where this script does not
// run they can be pressed at once, and the page that follows says how long is left.

for (const button of document.querySelectorAll("button[data-wait]")) {
  const label = button.textContent;
  const until = performance.now() + Number(button.dataset.wait) * 1000;
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? button.dataset.waiting.replace("{seconds}", left) : label;
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
}
