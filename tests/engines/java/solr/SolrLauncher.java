import java.nio.file.Path;
import java.util.EnumSet;
import java.util.EventListener;
import java.util.Properties;

import javax.servlet.DispatcherType;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

import org.apache.solr.servlet.SolrDispatchFilter;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** Serves Solr at /solr of a loopback port: {@code SolrLauncher HOME PORT}. */
public final class SolrLauncher {
    private static final String CORES = "org.apache.solr.servlet.CoreContainerProvider";

    private SolrLauncher() {}

    /** What is left when Solr has not answered. */
    public static final class NotFound extends HttpServlet {
        private static final long serialVersionUID = 1;

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response)
                throws java.io.IOException {
            response.sendError(HttpServletResponse.SC_NOT_FOUND);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        int port = Integer.parseInt(arguments[1]);
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        server.addConnector(connector);

        Properties properties = new Properties();
        properties.setProperty("hostPort", String.valueOf(port));
        properties.setProperty("hostContext", "/solr");
        ServletContextHandler solr =
            new ServletContextHandler(server, "/solr", ServletContextHandler.SESSIONS);
        solr.getServletContext().setAttribute(SolrDispatchFilter.PROPERTIES_ATTRIBUTE, properties);
        solr.getServletContext().setAttribute(
            SolrDispatchFilter.SOLRHOME_ATTRIBUTE, home.toString());
        try {
            solr.addEventListener(
                (EventListener) Class.forName(CORES).getDeclaredConstructor().newInstance());
        } catch (ClassNotFoundException e) {
            // Before version 9 the filter itself loads the cores.
        }
        FilterHolder filter = new FilterHolder(SolrDispatchFilter.class);
        filter.setAsyncSupported(true);
        solr.addFilter(filter, "/*", EnumSet.of(DispatcherType.REQUEST));
        solr.addServlet(new ServletHolder(NotFound.class), "/*");

        server.setStopAtShutdown(true);
        server.start();
        server.join();
    }
}
