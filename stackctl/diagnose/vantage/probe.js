// The probe for a vantage point with Node 12 or later; no packages.
// Same plan, same answers as probe.py.
'use strict';
const dns = require('dns'), fs = require('fs'), net = require('net'), os = require('os'), tls = require('tls');
const plan = JSON.parse(PLAN);
const STORES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];
const VERIFY = {DEPTH_ZERO_SELF_SIGNED_CERT: 18, SELF_SIGNED_CERT_IN_CHAIN: 19, UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 20,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 21, CERT_HAS_EXPIRED: 10, CERT_NOT_YET_VALID: 9, UNABLE_TO_GET_ISSUER_CERT: 2};
const clock = () => Number(process.hrtime.bigint()) / 1e6;
const since = (start) => Math.round((clock() - start) * 100) / 100;
const out = (k, values) => fs.writeSync(1, JSON.stringify(Object.assign({k}, values)) + '\n');
const GAI = {ENOTFOUND: -2, EAI_AGAIN: -3, EAI_NODATA: -5, EAI_FAIL: -4};

function facts(wanted) {
  const files = {}, space = {};
  for (const path of wanted ? plan.files : []) {
    try { files[path] = fs.readFileSync(path).subarray(0, 65536).toString('utf8'); } catch (e) { /* absent */ }
  }
  for (const path of wanted ? plan.paths : []) {
    try { const s = fs.statfsSync(path); space[path] = [s.bavail * s.bsize, s.blocks * s.bsize]; } catch (e) { /* old node */ }
  }
  out('facts', {files, space, now: Date.now() / 1000, tool: 'node ' + process.version});
}

const lookup = (host) => new Promise((done) => {
  const start = clock();
  const timer = setTimeout(() => done({ms: since(start), addresses: [], code: 'TIMEOUT', text: 'no answer in time'}),
    plan.resolve_timeout * 1000);
  dns.lookup(host, {all: true, verbatim: true}, (error, rows) => {
    clearTimeout(timer);
    if (error) {
      done({ms: since(start), addresses: [], code: error.code in GAI ? GAI[error.code] : 1, text: String(error.code)});
    } else {
      done({ms: since(start), addresses: [...new Set(rows.map((r) => r.address))], code: 0, text: ''});
    }
  });
});

const dial = (address, port, seconds) => new Promise((done, fail) => {
  const sock = net.connect({host: address, port});
  const timer = setTimeout(() => { sock.destroy(); fail({code: 'TIMEOUT'}); }, seconds * 1000);
  sock.once('connect', () => { clearTimeout(timer); sock.removeAllListeners('error'); sock.on('error', () => {}); done(sock); });
  sock.once('error', (e) => { clearTimeout(timer); fail(e); });
});

async function tryConnect(address, port) {
  const start = clock();
  try { (await dial(address, port, plan.connect_timeout)).destroy(); return ['', since(start)]; } catch (e) {
    return [e.code || String(e), since(start)];
  }
}

function options(aim, store) {
  const o = {servername: net.isIP(aim.server_name) ? '' : aim.server_name, rejectUnauthorized: store !== 'any'};
  if (net.isIP(aim.server_name)) o.checkServerIdentity = (_, cert) => tls.checkServerIdentity(aim.server_name, cert);
  if (store === 'given') o.ca = aim.trust_only ? [aim.trust] : [...tls.rootCertificates, aim.trust];
  else if (store !== 'default' && store !== 'any') o.ca = [fs.readFileSync(store)];
  return o;
}

const wrap = (sock, aim, store) => new Promise((done, fail) => {
  const timer = setTimeout(() => { sock.destroy(); fail({code: 'TIMEOUT'}); }, plan.connect_timeout * 1000);
  const secure = tls.connect(Object.assign({socket: sock}, options(aim, store)));
  secure.once('secureConnect', () => { clearTimeout(timer); secure.on('error', () => {}); done(secure); });
  secure.once('error', (e) => { clearTimeout(timer); fail(e); });
  sock.once('close', () => { clearTimeout(timer); fail({code: 'ECONNRESET'}); });
});

async function shake(aim, address, store) {
  const start = clock();
  const seen = {store, address, ok: false, verify: null, text: '', error: '', chain: []};
  let sock;
  try {
    sock = await wrap(await dial(address, aim.port, plan.connect_timeout), aim, store);
    seen.ok = true;
    seen.version = sock.getProtocol();
    const known = new Set();
    let cert = sock.getPeerCertificate(true);
    while (cert && cert.raw && !known.has(cert.fingerprint256) && known.size < 6) {
      known.add(cert.fingerprint256);
      seen.chain.push(cert.raw.toString('base64'));
      cert = cert.issuerCertificate;
    }
  } catch (e) {
    const code = e.code || '';
    seen.text = String(e.message || code).slice(0, 300);
    if (code in VERIFY) { seen.error = 'VERIFY'; seen.verify = VERIFY[code]; }
    else if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') { seen.error = 'VERIFY'; seen.verify = net.isIP(aim.server_name) ? 64 : 62; }
    else if (/WRONG_VERSION|wrong version|packet length too long/i.test(code + seen.text)) seen.error = 'WRONG_VERSION_NUMBER';
    else seen.error = code || 'TLS';
  }
  if (sock) sock.destroy();
  seen.ms = since(start);
  return seen;
}

async function handshake(aim, address) {
  const first = await shake(aim, address, !aim.verify ? 'any' : aim.trust ? 'given' : 'default');
  out('tls', Object.assign({aim: aim.id}, first));
  if (first.error === 'VERIFY') {
    out('tls', Object.assign({aim: aim.id}, await shake(aim, address, 'any')));
    const path = STORES.find((p) => fs.existsSync(p));
    if (path) {
      const seen = await shake(aim, address, path);
      out('tls', Object.assign({aim: aim.id}, seen, {store: 'system'}));
    }
  }
  return first.ok;
}

function complete(data) {
  const split = data.indexOf('\r\n\r\n');
  if (split < 0) return false;
  const head = data.subarray(0, split).toString('latin1');
  if (/^HTTP\/1\.\d (204|304)/.test(head)) return true;
  const length = /^content-length:[ \t]*(\d+)/im.exec(head);
  if (length) return data.length - split - 4 >= Number(length[1]);
  if (/^transfer-encoding:[^\r\n]*chunked/im.test(head)) return data.subarray(-5).toString('latin1') === '0\r\n\r\n';
  return false;
}

const converse = (sock, text, ask, start) => new Promise((done) => {
  let data = Buffer.alloc(0), ttfb = null;
  const marks = [];
  const finish = (end) => { clearTimeout(timer); sock.destroy(); done({data, ttfb, marks, end}); };
  const timer = setTimeout(() => finish('TIMEOUT'), Math.max(10, ask.timeout * 1000 - (clock() - start)));
  sock.on('data', (piece) => {
    if (ttfb === null) ttfb = since(start);
    if (marks.length < 64) marks.push([since(start), piece.length]);
    data = Buffer.concat([data, piece]);
    if (data.length >= ask.limit) { data = data.subarray(0, ask.limit); finish('limit'); } else if (complete(data)) finish('complete');
  });
  sock.on('end', () => finish('eof'));
  sock.on('close', () => finish('eof'));
  sock.on('error', (e) => finish(e.code || 'error'));
  sock.write(Buffer.from(text, 'latin1'));
});

async function exchange(aim, ask, address, ready) {
  const start = clock();
  let answer = {data: Buffer.alloc(0), ttfb: null, marks: [], end: 'eof'};
  try {
    let sock = ask.proxy ? await dial(ask.proxy[0], ask.proxy[1], ask.timeout) : await dial(address, aim.port, ask.timeout);
    if (aim.tls) {
      if (ask.proxy) {
        const line = `CONNECT ${aim.host}:${aim.port} HTTP/1.1\r\nHost: ${aim.host}:${aim.port}\r\n\r\n`;
        const reply = await new Promise((done) => { sock.once('data', done); sock.once('close', () => done(Buffer.alloc(0))); sock.write(line); });
        if (!/^HTTP\/1\.\d 200/.test(reply.toString('latin1'))) { answer.data = reply; throw Object.assign(new Error('proxy'), {code: 'ECONNREFUSED'}); }
      }
      sock = await wrap(sock, aim, !aim.verify ? 'any' : aim.trust ? 'given' : 'default');
    }
    answer = await converse(sock, ask.request, ask, start);
  } catch (e) { answer.end = e.code || 'error'; }
  out('ask', {aim: aim.id, ask: ask.id, address, ms: since(start), ttfb: answer.ttfb, end: answer.end, marks: answer.marks,
    raw: answer.data.toString('base64'), ready});
}

async function climb(aim) {
  let addresses = aim.addresses;
  if (!addresses.length) {
    const answer = await lookup(aim.host);
    out('resolve', Object.assign({aim: aim.id, host: aim.host}, answer));
    addresses = answer.addresses;
  }
  const results = {};
  await Promise.all(addresses.slice(0, 8).map(async (address) => {
    results[address] = await tryConnect(address, aim.port);
    out('connect', {aim: aim.id, address, port: aim.port, errno: results[address][0], ms: results[address][1]});
  }));
  const ready = addresses.slice(0, 8).filter((a) => results[a][0] === '');
  let usable = ready.length > 0;
  if (usable && aim.tls) {
    usable = await handshake(aim, ready[0]);
    if (!usable) {
      const request = `GET / HTTP/1.1\r\nHost: ${aim.host}\r\nConnection: close\r\n\r\n`;
      await exchange(Object.assign({}, aim, {tls: false}), {id: 'plain', request, timeout: 2, limit: 4096, proxy: null}, ready[0], true);
    }
  }
  const jobs = [];
  for (const ask of aim.asks) {
    if (ask.proxy) jobs.push(exchange(aim, ask, addresses[0] || '', false));
    else if (usable) for (const address of ask.everywhere ? ready : ready.slice(0, 1)) jobs.push(exchange(aim, ask, address, true));
  }
  await Promise.all(jobs);
}

setTimeout(() => { out('end', {complete: false}); process.exit(0); }, plan.budget * 1000);
(async () => {
  facts(plan.facts); // without any it still says who answers: silence would be taken for an image that cannot probe
  await Promise.all([
    ...plan.aims.map(climb),
    ...plan.names.map(async (name) => out('name', Object.assign({host: name}, await lookup(name)))),
    ...plan.connects.map(async ([address, port]) => {
      const [errno, ms] = await tryConnect(address, port);
      out('connect', {aim: '', address, port, errno, ms});
    }),
  ]);
  out('end', {complete: true});
  process.exit(0);
})().catch((e) => { out('limit', {text: String(e).slice(0, 200)}); process.exit(0); });
