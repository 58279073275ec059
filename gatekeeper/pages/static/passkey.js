// Passkeys on forms that carry data-passkey: asks the gate for options, the browser for the key, and sends the form.
// Where this script does not run, or the browser knows no passkeys, such a form stays hidden: there are other ways in.

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

const withIds = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

function creation(options) {
  const user = { ...options.user, id: bytes(options.user.id) };
  const challenge = bytes(options.challenge);
  return { ...options, challenge, user, excludeCredentials: withIds(options.excludeCredentials) };
}

function request(options) {
  return { ...options, challenge: bytes(options.challenge), allowCredentials: withIds(options.allowCredentials) };
}

// RegistrationResponseJSON and AuthenticationResponseJSON (WebAuthn 3, 5.1): what the gate reads.
function answerOf(credential) {
  const { response } = credential;
  const told = { clientDataJSON: text(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) told[name] = text(response[name]);
  }
  if (response.getTransports) told.transports = response.getTransports();
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: told,
  };
}

async function optionsFor(form) {
  const { options, purpose, challenge } = form.dataset;
  const body = purpose ? { purpose, ...(challenge ? { challenge } : {}) } : {};
  const answer = await fetch(options, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status === 401 && form.dataset.stale) {
    location.assign(form.dataset.stale);
    return null;
  }
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

async function show(form) {
  const asked = await optionsFor(form);
  if (asked === null) return;
  const credential =
    form.dataset.passkey === "create"
      ? await navigator.credentials.create({ publicKey: creation(asked.public_key) })
      : await navigator.credentials.get({ publicKey: request(asked.public_key) });
  form.elements.challenge.value = asked.challenge;
  form.elements.response.value = JSON.stringify(answerOf(credential));
  form.submit();
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) break;
  form.hidden = false;
  const told = form.querySelector("[data-told]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    told.hidden = true;
    try {
      await show(form);
    } catch {
      told.hidden = false; // closed, timed out, no such key: the browser has said what, and the person may try again
    } finally {
      button.disabled = false;
    }
  });
}
