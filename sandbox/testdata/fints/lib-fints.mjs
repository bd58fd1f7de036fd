// Walks through a customer's FinTS access with lib-fints and says as JSON what it saw.
// Arguments: the library's entry, the bank's URL, login, PIN, TAN, TAN method, TAN medium ("": none).
const [entry, url, login, pin, tan, method, medium] = process.argv.slice(2);
const { FinTSClient, FinTSConfig } = await import(entry);
const seen = { challenges: [], codes: [], accounts: [] };

const client = new FinTSClient(FinTSConfig.forFirstTimeUse('Test', '1', url, '90090042', login, pin));

// through goes on until nothing more is asked of the customer.
async function through(response, goOn) {
	for (;;) {
		seen.codes.push(...response.bankAnswers.map((a) => a.code));
		if (!response.success) throw new Error('refused: ' + JSON.stringify(response.bankAnswers));
		if (!response.requiresTan) return response;
		seen.challenges.push(response.tanChallenge);
		if (response.tanPhoto?.mimeType.startsWith('image/')) seen.challenges.push(response.tanPhoto.mimeType);
		const decoupled = client.config.selectedTanMethod.decoupled;
		if (decoupled) await new Promise((done) => setTimeout(done, 1000 * decoupled.waitingSecondsBetweenStatusRequests));
		response = await goOn(response.tanReference, decoupled ? undefined : tan);
	}
}

await through(await client.synchronize());
client.selectTanMethod(Number(method));
if (medium) client.config.tanMediaName = medium; // the library lists media only after a login, which needs one
const { bankingInformation } = await through(await client.synchronize(), (ref, t) => client.synchronizeWithTan(ref, t));
seen.methods = bankingInformation.bpd.availableTanMethodIds;
for (const { accountNumber, iban } of bankingInformation.upd.bankAccounts) {
	const { balance } = await through(await client.getAccountBalance(accountNumber), (ref, t) => client.getAccountBalanceWithTan(ref, t));
	const account = { iban, balance: balance.balance.toFixed(2), currency: balance.currency };
	for (const format of ['camt', 'mt940']) {
		const { statements } = await through(
			await client.getAccountStatements(accountNumber, undefined, undefined, format === 'camt'),
			(ref, t) => client.getAccountStatementsWithTan(ref, t),
		);
		const entries = statements.flatMap((s) => s.transactions);
		account[format] = { entries: entries.length, sum: entries.reduce((sum, e) => sum + e.amount, 0).toFixed(2), last: statements.at(-1)?.closingBalance.value.toFixed(2) };
	}
	seen.accounts.push(account);
}
console.log(JSON.stringify(seen));
