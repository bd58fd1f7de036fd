import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

import org.kapott.hbci.GV.HBCIJob;
import org.kapott.hbci.GV_Result.GVRKUms;
import org.kapott.hbci.GV_Result.GVRSaldoReq;
import org.kapott.hbci.callback.AbstractHBCICallback;
import org.kapott.hbci.callback.HBCICallback;
import org.kapott.hbci.manager.HBCIHandler;
import org.kapott.hbci.manager.HBCIUtils;
import org.kapott.hbci.manager.MatrixCode;
import org.kapott.hbci.passport.AbstractHBCIPassport;
import org.kapott.hbci.passport.HBCIPassport;
import org.kapott.hbci.status.HBCIExecStatus;
import org.kapott.hbci.structures.Konto;

/**
 * Walks through a customer's FinTS access with HBCI4Java and says line by line what it saw.
 * Arguments: port of the bank on 127.0.0.1, login, PIN, TAN, TAN method, TAN medium ("": none).
 */
public class HBCI4Java {
    public static void main(String[] args) throws Exception {
        String port = args[0], login = args[1], pin = args[2], tan = args[3], method = args[4], medium = args[5];
        File directory = Files.createTempDirectory("hbci4java").toFile();
        Properties settings = new Properties();
        settings.setProperty("client.product.name", "Test");
        settings.setProperty("client.product.version", "1");
        settings.setProperty("client.passport.default", "PinTan");
        settings.setProperty("client.passport.PinTan.filename", new File(directory, "passport").getPath());
        settings.setProperty("client.passport.PinTan.init", "1");
        settings.setProperty("client.passport.PinTan.checkcert", "0"); // of a test server
        settings.setProperty("log.loglevel.default", System.getProperty("loglevel", "1"));

        HBCIUtils.init(settings, new AbstractHBCICallback() {
            @Override
            public void log(String message, int level, java.util.Date date, StackTraceElement trace) {
                System.err.println(message);
            }

            @Override
            public void callback(HBCIPassport passport, int reason, String message, int type, StringBuffer answer) {
                switch (reason) {
                    case NEED_PASSPHRASE_LOAD, NEED_PASSPHRASE_SAVE -> answer.replace(0, answer.length(), "passphrase");
                    case NEED_COUNTRY -> answer.replace(0, answer.length(), "DE");
                    case NEED_BLZ -> answer.replace(0, answer.length(), "90090042");
                    case NEED_HOST -> answer.replace(0, answer.length(), "127.0.0.1/fints");
                    case NEED_PORT -> answer.replace(0, answer.length(), port);
                    case NEED_FILTER -> answer.replace(0, answer.length(), "Base64");
                    case NEED_USERID, NEED_CUSTOMERID -> answer.replace(0, answer.length(), login);
                    case NEED_PT_PIN -> answer.replace(0, answer.length(), pin);
                    case NEED_PT_SECMECH -> {
                        System.out.println("methods " + answer);
                        answer.replace(0, answer.length(), method);
                    }
                    case NEED_PT_TANMEDIA -> {
                        System.out.println("media " + answer);
                        answer.replace(0, answer.length(), medium);
                    }
                    case NEED_PT_TAN -> {
                        System.out.println("challenge " + message.replace('\n', ' '));
                        if (!answer.isEmpty()) { // the flicker code, as it is drawn
                            System.out.println("flicker " + answer);
                        }
                        answer.replace(0, answer.length(), tan);
                    }
                    case NEED_PT_PHOTOTAN -> {
                        try {
                            System.out.println("photo " + new MatrixCode(answer.toString()).getMimetype());
                        } catch (Exception e) {
                            throw new RuntimeException(e);
                        }
                        answer.replace(0, answer.length(), tan);
                    }
                    case HAVE_ERROR -> throw new RuntimeException(message);
                    default -> { }
                }
            }

            @Override
            public void status(HBCIPassport passport, int tag, Object[] more) { }
        });

        HBCIPassport passport = AbstractHBCIPassport.getInstance();
        HBCIHandler handler = new HBCIHandler("300", passport);
        try {
            List<HBCIJob> jobs = new ArrayList<>();
            for (Konto account : passport.getAccounts()) {
                System.out.println("account " + account.iban + " " + account.number + " " + account.curr);
                for (String name : new String[] {"SaldoReq", "KUmsAll"}) {
                    HBCIJob job = handler.newJob(name);
                    job.setParam("my", account);
                    job.addToQueue();
                    jobs.add(job);
                }
            }
            HBCIExecStatus status = handler.execute();
            if (!status.isOK()) {
                throw new RuntimeException(status.toString());
            }
            for (HBCIJob job : jobs) {
                if (!job.getJobResult().isOK()) {
                    throw new RuntimeException(job.getJobResult().toString());
                }
                if (job.getJobResult() instanceof GVRSaldoReq balance) {
                    System.out.println("balance " + balance.getEntries()[0].ready.value.getLongValue());
                } else if (job.getJobResult() instanceof GVRKUms statement) {
                    long sum = statement.getFlatData().stream().mapToLong(line -> line.value.getLongValue()).sum();
                    System.out.println("statement " + statement.getFlatData().size() + " " + sum + " pending " + statement.getFlatDataUnbooked().size());
                    GVRKUms.UmsLine last = statement.getFlatData().get(statement.getFlatData().size() - 1);
                    System.out.println("last " + last.saldo.value.getLongValue() + " " + last.gvcode + " " + (last.other == null ? "" : last.other.name) + " " + last.usage);
                }
            }
        } finally {
            handler.close();
        }
    }
}
